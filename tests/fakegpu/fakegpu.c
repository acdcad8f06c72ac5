/* A driver that does as it is told: one file, built as libnvidia-ml.so.1 and as libcuda.so.1.
 *
 * The environment variable FAKE_GPU holds a script, `key=value` divided by `;`, values with %xx escapes.
 *
 * What the machine has:
 *   gpus=N  driver=550.54.15  nvml=12.550.54.15  cuda=12040  libcuda=12040
 *   name= uuid= bus= cc=8.6 mem=<MiB> free=<MiB> mig=0|1 migs=N mode=0..3 fabric=0..3 virt=0..4
 *   A number after the key speaks of one GPU only: name1=...
 * What a call does, by its real name, with the number of the GPU in brackets to speak of one only:
 *   nvmlInit_v2=18   nvmlDeviceGetName(1)=hang   dlopen(libcuda)=segv
 *   a number   the return code (CUresult for libcuda)
 *   hang  spin  stubborn (a hang that ignores SIGTERM)
 *   segv  bus  ill  fpe  abort  kill  exit (exit(0))  exit:3
 *   noise (prints, and goes on)  fork (leaves a child behind, and goes on)  sleep:MS (and goes on)
 *
 * -DOLD leaves out what a driver of 2017 did not have; -DEMPTY leaves out everything.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef int code_t;
typedef unsigned int u32;
typedef unsigned long long u64;

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, MAX_GPUS = 64 };

/* --- the script ------------------------------------------------------------------------------------------------ */

static int hex(char c) {
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

/* The raw bytes of `key`'s value in `out`; its length, or -1 when the script does not name it. */
static int look_up(const char *key, char *out, int size) {
    const char *at = getenv("FAKE_GPU");
    size_t width = strlen(key);
    int length = 0;
    while (at && *at) {
        if (!strncmp(at, key, width) && at[width] == '=') {
            for (at += width + 1; *at && *at != ';' && length < size - 1; at++) {
                if (*at == '%' && at[1] && at[2]) {
                    out[length++] = (char)(hex(at[1]) * 16 + hex(at[2]));
                    at += 2;
                } else {
                    out[length++] = *at;
                }
            }
            out[length] = 0;
            return length;
        }
        at = strchr(at, ';');
        at = at ? at + 1 : NULL;
    }
    return -1;
}

static int text_of(const char *key, int gpu, const char *otherwise, char *out, int size) {
    char own[96];
    int length;
    snprintf(own, sizeof own, "%s%d", key, gpu);
    if (gpu >= 0 && (length = look_up(own, out, size)) >= 0) return length;
    if ((length = look_up(key, out, size)) >= 0) return length;
    snprintf(out, (size_t)size, "%s", otherwise);
    return (int)strlen(out);
}

__attribute__((unused)) static long number(const char *key, int gpu, long otherwise) {
    char text[64];
    text_of(key, gpu, "", text, sizeof text);
    return *text ? strtol(text, NULL, 0) : otherwise;
}

/* --- what a call does ------------------------------------------------------------------------------------------ */

static void hang(void) {
    for (;;) pause();
}

static void sleep_ms(long ms) {
    struct timespec span = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&span, NULL);
}

static code_t act(const char *what) {
    volatile u32 spin = 0;
    if (!strcmp(what, "hang")) hang();
    if (!strcmp(what, "spin")) for (;;) spin++;
    if (!strcmp(what, "stubborn")) signal(SIGTERM, SIG_IGN), signal(SIGINT, SIG_IGN), signal(SIGHUP, SIG_IGN), hang();
    if (!strcmp(what, "segv")) signal(SIGSEGV, SIG_DFL), raise(SIGSEGV);
    if (!strcmp(what, "bus")) signal(SIGBUS, SIG_DFL), raise(SIGBUS);
    if (!strcmp(what, "ill")) signal(SIGILL, SIG_DFL), raise(SIGILL);
    if (!strcmp(what, "fpe")) signal(SIGFPE, SIG_DFL), raise(SIGFPE);
    if (!strcmp(what, "abort")) abort();
    if (!strcmp(what, "kill")) raise(SIGKILL);
    if (!strncmp(what, "exit", 4)) exit(what[4] == ':' ? atoi(what + 5) : 0);
    if (!strncmp(what, "sleep:", 6)) sleep_ms(atol(what + 6));
    if (!strcmp(what, "fork") && fork() == 0) setsid(), hang();
    if (!strcmp(what, "noise"))
        for (int i = 0; i < 400; i++) {
            printf("!!! a library that talks \x1b[31m\xff %d\n{\"event\": \"bye\"}\n", i);
            fprintf(stderr, "NVRM: something on stderr %d\n", i);
            fflush(stdout);
        }
    return *what == '-' || (*what >= '0' && *what <= '9') ? atoi(what) : OK;
}

/* The code that the script wants of this call; it may never return. */
__attribute__((unused)) static code_t step(const char *call, int gpu) {
    char key[128], what[64];
    snprintf(key, sizeof key, "%s(%d)", call, gpu);
    if (gpu >= 0 && look_up(key, what, sizeof what) >= 0) return act(what);
    return look_up(call, what, sizeof what) >= 0 ? act(what) : OK;
}

#define STEP(gpu)                                \
    do {                                         \
        code_t wanted = step(__func__, gpu);     \
        if (wanted != OK) return wanted;         \
    } while (0)

__attribute__((constructor)) static void loaded(void) {
    Dl_info self;
    char what[64];
    const char *path = dladdr((void *)&loaded, &self) && self.dli_fname ? self.dli_fname : "";
    const char *key = strstr(path, "libcuda") ? "dlopen(libcuda)" : "dlopen(libnvidia-ml)";
    if (look_up(key, what, sizeof what) >= 0) act(what);
}

#ifndef EMPTY

/* --- NVML ------------------------------------------------------------------------------------------------------ */

/* A handle points at a GPU's number; a MIG instance's lies beyond those of the GPUs. */
static int cells[MAX_GPUS * 9];
typedef int *handle_t;

static handle_t handle_of(int number_) {
    cells[number_] = number_;
    return &cells[number_];
}

static code_t put(char *out, u32 size, const char *text, int length) {
    if ((u32)length + 1 > size) return TOO_SMALL;
    memcpy(out, text, (size_t)length);
    out[length] = 0;
    return OK;
}

static code_t put_text(const char *key, int gpu, const char *otherwise, char *out, u32 size) {
    char text[1024];
    int length = text_of(key, gpu, otherwise, text, sizeof text);
    return put(out, size, text, length);
}

code_t nvmlInit_v2(void) {
    STEP(-1);
    return OK;
}

code_t nvmlSystemGetDriverVersion(char *out, u32 size) {
    STEP(-1);
    return put_text("driver", -1, "550.54.15", out, size);
}

code_t nvmlSystemGetNVMLVersion(char *out, u32 size) {
    STEP(-1);
    return put_text("nvml", -1, "12.550.54.15", out, size);
}

code_t nvmlDeviceGetCount_v2(u32 *count) {
    STEP(-1);
    *count = (u32)number("gpus", -1, 1);
    return OK;
}

code_t nvmlDeviceGetHandleByIndex_v2(u32 index, handle_t *device) {
    STEP((int)index);
    if ((long)index >= number("gpus", -1, 1) || index >= MAX_GPUS) return INVALID;
    *device = handle_of((int)index);
    return OK;
}

code_t nvmlDeviceGetName(handle_t device, char *out, u32 size) {
    STEP(*device);
    return put_text("name", *device, "NVIDIA GeForce RTX 3090", out, size);
}

code_t nvmlDeviceGetUUID(handle_t device, char *out, u32 size) {
    char otherwise[80];
    if (*device >= MAX_GPUS) {
        int beyond = *device - MAX_GPUS;
        code_t wanted = step("nvmlDeviceGetUUID(mig)", -1);
        if (wanted != OK) return wanted;
        snprintf(otherwise, sizeof otherwise, "MIG-%08d-0000-4000-8000-%012d", beyond / 8, beyond % 8);
        return put(out, size, otherwise, (int)strlen(otherwise));
    }
    STEP(*device);
    snprintf(otherwise, sizeof otherwise, "GPU-00000000-0000-4000-8000-%012d", *device);
    return put_text("uuid", *device, otherwise, out, size);
}

typedef struct {
    char legacy[16];
    u32 domain, bus, device, id, subsystem;
    char bus_id[32];
} pci_v3;

static code_t fill_pci(handle_t device, pci_v3 *info) {
    char otherwise[32];
    memset(info, 0, sizeof *info);
    info->bus = (u32)*device + 1;
    snprintf(otherwise, sizeof otherwise, "00000000:%02X:00.0", info->bus);
    return put_text("bus", *device, otherwise, info->bus_id, sizeof info->bus_id);
}

#ifndef OLD
code_t nvmlDeviceGetPciInfo_v3(handle_t device, pci_v3 *info) {
    STEP(*device);
    return fill_pci(device, info);
}
#endif

typedef struct {
    char bus_id[16];
    u32 domain, bus, device, id, subsystem, reserved[4];
} pci_v2;

code_t nvmlDeviceGetPciInfo_v2(handle_t device, pci_v2 *info) {
    pci_v3 full;
    code_t code;
    STEP(*device);
    if ((code = fill_pci(device, &full)) != OK) return code;
    memset(info, 0, sizeof *info);
    info->bus = full.bus;
    snprintf(info->bus_id, sizeof info->bus_id, "0000:%02X:00.0", full.bus);
    return OK;
}

code_t nvmlDeviceGetCudaComputeCapability(handle_t device, int *major, int *minor) {
    char text[64];
    STEP(*device);
    text_of("cc", *device, "8.6", text, sizeof text);
    *major = *minor = 0;
    sscanf(text, "%d.%d", major, minor);
    return OK;
}

typedef struct {
    u32 version;
    u64 total, reserved, free, used;
} memory_v2;

static u64 mib(const char *key, int gpu, long otherwise) {
    return (u64)number(key, gpu, otherwise) << 20;
}

#ifndef OLD
code_t nvmlDeviceGetMemoryInfo_v2(handle_t device, memory_v2 *info) {
    STEP(*device);
    if (info->version != (sizeof(memory_v2) | 2u << 24)) return 25;
    info->total = mib("mem", *device, 24576);
    info->free = mib("free", *device, 24000);
    info->reserved = 256ull << 20;
    info->used = info->total - info->free - info->reserved;
    return OK;
}
#endif

code_t nvmlDeviceGetMemoryInfo(handle_t device, u64 *info) {
    STEP(*device);
    info[0] = mib("mem", *device, 24576);
    info[1] = mib("free", *device, 24000);
    info[2] = info[0] - info[1];
    return OK;
}

code_t nvmlDeviceGetComputeMode(handle_t device, u32 *mode) {
    STEP(*device);
    *mode = (u32)number("mode", *device, 0);
    return OK;
}

code_t nvmlDeviceGetVirtualizationMode(handle_t device, u32 *mode) {
    STEP(*device);
    *mode = (u32)number("virt", *device, 0);
    return OK;
}

#ifndef OLD
code_t nvmlDeviceGetMigMode(handle_t device, u32 *current, u32 *pending) {
    long mode = number("mig", *device, -1);
    STEP(*device);
    if (mode < 0) return NOT_SUPPORTED;
    *current = *pending = (u32)mode;
    return OK;
}

code_t nvmlDeviceGetMaxMigDeviceCount(handle_t device, u32 *count) {
    STEP(*device);
    *count = 7;
    return OK;
}

code_t nvmlDeviceGetMigDeviceHandleByIndex(handle_t device, u32 index, handle_t *instance) {
    STEP(*device);
    if ((long)index >= number("migs", *device, 0) || index >= 8) return NOT_FOUND;
    *instance = handle_of(MAX_GPUS + *device * 8 + (int)index);
    return OK;
}

typedef struct {
    u32 version;
    unsigned char cluster[16];
    code_t status;
    u32 clique;
    unsigned char state;
    u32 health;
} fabric_v2;

code_t nvmlDeviceGetGpuFabricInfoV(handle_t device, fabric_v2 *info) {
    long state = number("fabric", *device, -1);
    STEP(*device);
    if (info->version != (sizeof(fabric_v2) | 2u << 24)) return 25;
    if (state < 0) return NOT_SUPPORTED;
    info->state = (unsigned char)state;
    info->status = OK;
    return OK;
}

typedef struct {
    unsigned char cluster[16];
    code_t status;
    u32 clique;
    unsigned char state;
} fabric_v1;

code_t nvmlDeviceGetGpuFabricInfo(handle_t device, fabric_v1 *info) {
    long state = number("fabric", *device, -1);
    STEP(*device);
    if (state < 0) return NOT_SUPPORTED;
    info->state = (unsigned char)state;
    return OK;
}

code_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    STEP(-1);
    *version = (int)number("cuda", -1, 12040);
    return OK;
}

code_t nvmlSystemGetCudaDriverVersion(int *version) {
    STEP(-1);
    *version = (int)number("cuda", -1, 12040);
    return OK;
}
#endif

const char *nvmlErrorString(code_t code) {
    static char text[64];
    step(__func__, -1);
    snprintf(text, sizeof text, "fake error %d", code);
    return text;
}

/* --- CUDA ------------------------------------------------------------------------------------------------------ */

code_t cuDriverGetVersion(int *version) {
    STEP(-1);
    *version = (int)number("libcuda", -1, number("cuda", -1, 12040));
    return OK;
}

#endif
