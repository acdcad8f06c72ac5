"""Whether gradients can be trusted: cases, references, error measure, judge. Pure; torch is never imported here."""
