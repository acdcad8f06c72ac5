"""Values that every room shares: facts, findings, report, plan, errors. Nothing here touches the machine."""
