package pip_witness.import_behavior

# This policy runs against the pip-import step's command-run attestation
# It can reference pip-install step data via input.steps["pip-install"]

import rego.v1

# CRITICAL: Import makes network connections not seen during install
deny[msg] if {
    # Get install-time connections
    install_conns := {sprintf("%s:%d", [c.address, c.port]) |
        some proc in input.steps["pip-install"]["command-run"].processes
        some c in proc.network.connections
        c.family == "AF_INET"}
    
    # Get import-time connections
    some proc in input.processes
    some c in proc.network.connections
    c.family == "AF_INET"
    c.port != 53
    conn_key := sprintf("%s:%d", [c.address, c.port])
    not conn_key in install_conns
    
    msg := sprintf("CRITICAL:IMPORT_NEW_CONNECTION: Import connected to %s:%d which was NOT contacted during install — import-time C2/exfil", [c.address, c.port])
}

# HIGH: Import opens files not opened during install
deny[msg] if {
    install_files := {f |
        some proc in input.steps["pip-install"]["command-run"].processes
        some f, _ in proc.openedfiles}
    
    some proc in input.processes
    some f, _ in proc.openedfiles
    not f in install_files
    is_sensitive(f)
    
    msg := sprintf("CRITICAL:IMPORT_CRED_ACCESS: Import accessed %s which was NOT accessed during install — import-time credential theft", [f])
}

is_sensitive(f) if { contains(f, ".ssh/") }
is_sensitive(f) if { contains(f, ".aws/") }
is_sensitive(f) if { contains(f, ".kube/config") }

# HIGH: Import spawns processes not seen during install
deny[msg] if {
    install_progs := {p.program |
        some p in input.steps["pip-install"]["command-run"].processes}
    
    some proc in input.processes
    proc.program != ""
    not proc.program in install_progs
    not contains(proc.program, "python")
    
    msg := sprintf("HIGH:IMPORT_NEW_PROCESS: Import spawned %s which was NOT seen during install", [proc.program])
}

# MEDIUM: Import has more syscall events than install
# (should be simpler — just loading modules, not downloading/building)
deny[msg] if {
    import_events := count([e |
        some proc in input.processes
        some e in proc.syscallEvents])
    import_events > 0
    
    msg := sprintf("MEDIUM:IMPORT_SYSCALL_EVENTS: Import triggered %d security-relevant syscall events", [import_events])
}

# HIGH: OmniTrail shows files changed between install and import
# (no files should change during import — it's read-only)
deny[msg] if {
    install_trail := input.steps["pip-install"]["omnitrail"]
    import_trail := input.omnitrail  # from this step
    # Compare file hashes — any difference means import modified files
    # (implementation depends on omnitrail data structure)
    msg := "HIGH:IMPORT_FILE_MUTATION: Files changed during import — imports should be read-only"
}
