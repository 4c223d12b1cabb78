# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_red_runtime_global_optspecs
    string join \n v/version root= log= log-format= debug= systemd-cgroup= cgroup-manager= log-level= no-pivot criu= rootless= h/help
end

function __fish_red_runtime_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_red_runtime_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_red_runtime_using_subcommand
    set -l cmd (__fish_red_runtime_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c red-runtime -n "__fish_red_runtime_needs_command" -l root -d 'Directory of states' -r -F
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l log -d 'File that errors are written to, besides stderr' -r -F
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l log-format -d 'In which form' -r -f -a "text\t'A line for people'
json\t'One JSON object'"
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l debug -d 'Accepted for the sake of engines; there is nothing more to say' -r -f -a "true\t''
false\t''"
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l systemd-cgroup -d 'Have systemd make cgroups; `cgroupsPath` is `slice:prefix:name` then' -r -f -a "true\t''
false\t''"
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l cgroup-manager -d 'Who makes cgroups' -r -f -a "cgroupfs\t'This program'
systemd\t'systemd'
disabled\t'Nobody: a container stays in its launcher\'s cgroup'"
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l log-level -d 'Accepted for crun compatibility; only errors are logged' -r
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l criu -d 'Accepted for runc compatibility; checkpoints are not supported' -r -F
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l rootless -d 'Accepted for the sake of engines; whether the caller is root is seen' -r
complete -c red-runtime -n "__fish_red_runtime_needs_command" -s v -l version -d 'Print the version, with that of the specification'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -l no-pivot -d 'Change roots without pivot_root, as with `create --no-pivot`'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "create" -d 'Make a container from a bundle; it waits to be started'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "start" -d 'Start a container that was made'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "state" -d 'Print the state of a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "kill" -d 'Send a signal to a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "delete" -d 'Remove a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "run" -d 'Make and start a container from a bundle or a node, and wait for it'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "exec" -d 'Run a further process in a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "list" -d 'List containers'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "ps" -d 'List the processes of a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "spec" -d 'Write a configuration to start from'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "features" -d 'Print what this runtime can do, as JSON'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "pause" -d 'Stop everything in a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "resume" -d 'Let what was stopped go on'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "update" -d 'Change the limits of a container'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "events" -d 'Print what the cgroups of a container have counted'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "checkpoint" -d 'Not supported'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "restore" -d 'Not supported'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "mounts" -d 'Not supported'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "gc" -d 'Remove what interrupted commands have left behind'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "doctor" -d 'Say what this machine lacks, and how to get it'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "conf" -d 'Look at nodes and their configuration, the same as `red-conf`'
complete -c red-runtime -n "__fish_red_runtime_needs_command" -f -a "wrap" -d 'Run a command in a node, the same as `red-wrap`'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -s b -l bundle -d 'Directory of the bundle' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -s f -l config -d 'Configuration in place of the bundle\'s config.json' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l console-socket -d 'Socket that the outer side of the terminal is sent to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l pid-file -d 'File that the number of the first process is written to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l pidfd-socket -d 'Socket that a descriptor of the first process is sent to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l preserve-fds -d 'So many descriptors after the standard streams are passed on' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l no-pivot -d 'Change the root without pivot_root, for a root on a ramdisk'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l no-new-keyring -d 'Keep the launcher\'s session keyring'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -l no-subreaper -d 'Accepted for runc compatibility; ignored'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand create" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand start" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand state" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand kill" -s a -l all -d 'Every process of the container'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand kill" -s r -l regex -d 'Not supported'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand kill" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand delete" -s f -l force -d 'End it first, whatever its state; one that does not exist is fine'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand delete" -s r -l regex -d 'Not supported'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand delete" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s b -l bundle -d 'Directory of the bundle' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s f -l config -d 'Configuration in place of the bundle\'s config.json' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l console-socket -d 'Socket that the outer side of the terminal is sent to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l pid-file -d 'File that the number of the first process is written to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l pidfd-socket -d 'Socket that a descriptor of the first process is sent to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l preserve-fds -d 'So many descriptors after the standard streams are passed on' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s r -l redpath -l rpath -l rp -d 'Run a node instead of a bundle: its path' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l strict -d 'What is missing is an error' -r -f -a "yes\t''
no\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l user -d 'User the command runs as, by name or number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l group -d 'Group the command runs as, by name or number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l smack -d 'Smack label of the command' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s e -l env -d 'Set a variable for the command, or pass on the launcher\'s' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l name -d 'Name of what runs, for `red-wrap ps` and the like' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s v -l verbose -d 'Say more' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l root -d 'Directory of states' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l no-pivot -d 'Change the root without pivot_root, for a root on a ramdisk'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l no-new-keyring -d 'Keep the launcher\'s session keyring'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l no-subreaper -d 'Accepted for runc compatibility; ignored'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l force -d 'The opposite of --strict'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l unsafe -d 'Nodes that were moved start all the same'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s d -l detach -d 'Run it in the background; its output goes to a file (`red-wrap logs`)'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l die-with-parent -d 'It ends with the launcher'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l new-session -d 'It is in a session of its own'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l timings -d 'Say when each phase of the launch was over, on stderr'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -l keep -d 'Do not remove the container when it has ended'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand run" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s p -l process -d 'The process as in an OCI configuration' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l cwd -d 'Working directory' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s e -l env -d 'Set a variable' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s u -l user -d 'User, and group after a colon, by number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s g -l additional-gids -d 'Further groups, by number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s c -l cap -d 'Add a capability' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l apparmor -d 'AppArmor profile' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l cgroup -d 'Sub-cgroup path (`/`: the container\'s cgroup)' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l pid-file -d 'File that its number is written to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l console-socket -d 'Socket that the outer side of the terminal is sent to' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l pidfd-socket -d 'Unix socket to receive a pidfd of the process' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l preserve-fds -d 'So many descriptors after the standard streams are passed on' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l process-label -d 'Accepted for the sake of engines; SELinux is not supported' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s t -l tty -d 'Give it a terminal'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l no-new-privs -d 'It cannot gain privileges'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l ignore-paused -d 'Enter a paused container too; the command runs when it is resumed'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -l no-subreaper -d 'Accepted for runc compatibility; ignored'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s d -l detach -d 'Do not wait for it'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand exec" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand list" -s f -l format -d 'In which form' -r -f -a "table\t''
json\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand list" -s q -l quiet -d 'Names only'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand list" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand ps" -s f -l format -d 'In which form' -r -f -a "table\t''
json\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand ps" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand spec" -s b -l bundle -d 'Directory of the bundle' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand spec" -s f -l file -d 'File to write instead of the bundle\'s config.json' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand spec" -l rootless -d 'For an ordinary user'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand spec" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand features" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand pause" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand resume" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -s r -l resources -d 'File with resources as in an OCI configuration, `-` is stdin' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l memory -d 'Bytes of memory; with K, M, G or T behind it in that unit, -1 for no limit' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l memory-reservation -d 'Bytes of memory that are left to it where memory is short' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l memory-swap -d 'Bytes of memory and swap together' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l kernel-memory -d 'Accepted for runc compatibility; the kernel no longer has this limit' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l kernel-memory-tcp -d 'Accepted for runc compatibility; the kernel no longer has this limit' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l pids-limit -d 'Number of processes' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l blkio-weight -d 'Weight of block I/O among containers, 10 to 1000' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-quota -d 'Microseconds of processor time in a period' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-period -d 'Microseconds of a period' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-burst -d 'Microseconds of processor time that may be saved up for a burst' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-rt-runtime -d 'Microseconds of realtime processor time in a period (version 1)' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-rt-period -d 'Microseconds of a realtime period (version 1)' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-share -d 'Share of the processors among containers' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpu-idle -d 'Run only when nothing else wants to: 0 or 1' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpuset-cpus -d 'CPUs to use' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l cpuset-mems -d 'Memory nodes to use' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l l3-cache-schema -d 'Not supported' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -l mem-bw-schema -d 'Not supported' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand update" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand events" -l interval -d 'How often' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand events" -l stats -d 'Once, and no more'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand events" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand checkpoint" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand restore" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand mounts" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand gc" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand doctor" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "tree" -d 'Draw the nodes below a directory'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "config" -d 'Show a node\'s own configuration'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "mergeconfig" -d 'Show what a family amounts to, and where each entry came from'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "create" -d 'Make a node'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "check" -d 'Find all that is wrong with a family'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "plan" -d 'Show the whole plan of a launch'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "diff" -d 'Show what one node may touch that another may not'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "access" -d 'Say whether a path may be read or written inside, and through which entry'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "bundle" -d 'Write a bundle that any OCI runtime runs'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "image" -d 'Write an OCI image that references a node, or has its contents'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "quadlet" -d 'Print a podman unit (quadlet) that runs a node'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "unit" -d 'Print a systemd service that runs a command in a node'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and not __fish_seen_subcommand_from tree config mergeconfig create check plan diff access bundle image quadlet unit schema" -f -a "schema" -d 'Print the JSON Schema of a file'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from tree" -s r -l redroot -d 'Where to start, as an option' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from tree" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from tree" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from tree" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from tree" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -l yaml -d 'Print YAML without the remark where it came from'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -l expand -d 'Expand variables. Commands are never run for showing'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -l yaml -d 'Print one configuration file that amounts to the family'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from mergeconfig" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s a -l alias -d 'Name within the family; the last component of PATH when absent' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s c -l config -d 'Template of the configuration: a name, or a path with a slash in it' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s C -l config-adm -d 'Template of the admin configuration' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s t -l templates -d 'Directory of templates, instead of /etc/redpak/templates.d' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s u -l update -d 'Change a node that is there: adopt it where it is now, write what is missing and what a template is named for'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -l strict -d 'What is missing is an error'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -l engine -d 'Check as if podman, containerd or cri-o started the node'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l strict -d 'What is missing is an error' -r -f -a "yes\t''
no\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l user -d 'User the command runs as, by name or number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l group -d 'Group the command runs as, by name or number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l smack -d 'Smack label of the command' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l force -d 'The opposite of --strict'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l unsafe -d 'Nodes that were moved start all the same'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -s t -l tty -d 'Give the command a terminal'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l digest -d 'Print the digest only'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -l canonical -d 'Print the canonical form, whose SHA-256 is the digest'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from diff" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from diff" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from diff" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from diff" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from diff" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from access" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from access" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from access" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from access" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from access" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from access" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l strict -d 'What is missing is an error' -r -f -a "yes\t''
no\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l user -d 'User the command runs as, by name or number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l group -d 'Group the command runs as, by name or number' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l smack -d 'Smack label of the command' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l force -d 'The opposite of --strict'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l unsafe -d 'Nodes that were moved start all the same'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -s t -l tty -d 'Give the command a terminal'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from bundle" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -s o -l output -d 'Directory to write the OCI image layout to; it must not exist, or be empty' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l host-exports -d 'What to do with read-only exports of the host, such as /usr' -r -f -a "include\t'Copy them into a layer of their own'
omit\t'Leave their directories empty'"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l cmd -d 'Word of the command to run by default; repeat for each argument [default: sh]' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l name -d 'Name of the image, [HOST[:PORT]/]PATH[:TAG] [default: localhost/ALIAS:latest]' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l arch -d 'Architecture of the image, such as arm64 [default: that of this machine]' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l full -d 'Write the contents of the node, a layer for each node of the family, for machines without it'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l strict -d 'Fail if a source path or variable is missing, now and when the image is started'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -l json -d 'Print one JSON document'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from image" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from quadlet" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from quadlet" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from quadlet" -l cmd -d 'Word of the command to run; repeat for each argument [default: sh]' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from quadlet" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from quadlet" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from quadlet" -s h -l help -d 'Print help'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l type -d 'When the service counts as started' -r -f -a "exec\t'Once red-wrap is executed'
notify\t'Once the command says so (sd_notify(3))'"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l name -d 'Container name (used by red-wrap ps, kill, enter, logs) [default: the node\'s alias]' -r
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l red-wrap -d 'Path of red-wrap on the machine that runs the unit' -r -F
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l user -d 'Print a unit for the service manager of an ordinary user (systemctl --user)'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -l reload -d 'Send the command SIGHUP on `systemctl reload`'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from unit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from schema" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from schema" -s v -l verbose -d 'Say more: notes too'
complete -c red-runtime -n "__fish_red_runtime_using_subcommand conf; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help (see more with \'--help\')'
