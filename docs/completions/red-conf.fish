# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_red_conf_global_optspecs
    string join \n color= v/verbose h/help V/version
end

function __fish_red_conf_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_red_conf_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_red_conf_using_subcommand
    set -l cmd (__fish_red_conf_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c red-conf -n "__fish_red_conf_needs_command" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_needs_command" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-conf -n "__fish_red_conf_needs_command" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "tree" -d 'Draw the nodes below a directory'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "config" -d 'Show a node\'s own configuration'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "mergeconfig" -d 'Show what a family amounts to, and where each entry came from'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "create" -d 'Make a node'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "check" -d 'Find all that is wrong with a family'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "plan" -d 'Show the whole plan of a launch'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "diff" -d 'Show what one node may touch that another may not'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "access" -d 'Say whether a path may be read or written inside, and through which entry'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "bundle" -d 'Write a bundle that any OCI runtime runs'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "image" -d 'Write an OCI image that references a node, or has its contents'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "quadlet" -d 'Print a podman unit (quadlet) that runs a node'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "unit" -d 'Print a systemd service that runs a command in a node'
complete -c red-conf -n "__fish_red_conf_needs_command" -f -a "schema" -d 'Print the JSON Schema of a file'
complete -c red-conf -n "__fish_red_conf_using_subcommand tree" -s r -l redroot -d 'Where to start, as an option' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand tree" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand tree" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand tree" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand tree" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand tree" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -l yaml -d 'Print YAML without the remark where it came from'
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand config" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -l expand -d 'Expand variables. Commands are never run for showing'
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -l yaml -d 'Print one configuration file that amounts to the family'
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand mergeconfig" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s a -l alias -d 'Name within the family; the last component of PATH when absent' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s c -l config -d 'Template of the configuration: a name, or a path with a slash in it' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s C -l config-adm -d 'Template of the admin configuration' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s t -l templates -d 'Directory of templates, instead of /etc/redpak/templates.d' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s u -l update -d 'Change a node that is there: adopt it where it is now, write what is missing and what a template is named for'
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-conf -n "__fish_red_conf_using_subcommand create" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -l strict -d 'What is missing is an error'
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -l engine -d 'Check as if podman, containerd or cri-o started the node'
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand check" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -s r -l redpath -l rpath -l rp -d 'The node, as an option' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l strict -d 'What is missing is an error' -r -f -a "yes\t''
no\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l user -d 'User the command runs as, by name or number' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l group -d 'Group the command runs as, by name or number' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l smack -d 'Smack label of the command' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l force -d 'The opposite of --strict'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l unsafe -d 'Nodes that were moved start all the same'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -s t -l tty -d 'Give the command a terminal'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l digest -d 'Print the digest only'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -l canonical -d 'Print the canonical form, whose SHA-256 is the digest'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand plan" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand diff" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand access" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l strict -d 'What is missing is an error' -r -f -a "yes\t''
no\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l user -d 'User the command runs as, by name or number' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l group -d 'Group the command runs as, by name or number' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l smack -d 'Smack label of the command' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l force -d 'The opposite of --strict'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l unsafe -d 'Nodes that were moved start all the same'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -s t -l tty -d 'Give the command a terminal'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand bundle" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -s o -l output -d 'Directory to write the OCI image layout to; it must not exist, or be empty' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l host-exports -d 'What to do with read-only exports of the host, such as /usr' -r -f -a "include\t'Copy them into a layer of their own'
omit\t'Leave their directories empty'"
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l cmd -d 'Word of the command to run by default; repeat for each argument [default: sh]' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l name -d 'Name of the image, [HOST[:PORT]/]PATH[:TAG] [default: localhost/ALIAS:latest]' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l arch -d 'Architecture of the image, such as arm64 [default: that of this machine]' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l full -d 'Write the contents of the node, a layer for each node of the family, for machines without it'
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l strict -d 'Fail if a source path or variable is missing, now and when the image is started'
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -l json -d 'Print one JSON document'
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-conf -n "__fish_red_conf_using_subcommand image" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -l cmd -d 'Word of the command to run; repeat for each argument [default: sh]' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -s h -l help -d 'Print help'
complete -c red-conf -n "__fish_red_conf_using_subcommand quadlet" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l type -d 'When the service counts as started' -r -f -a "exec\t'Once red-wrap is executed'
notify\t'Once the command says so (sd_notify(3))'"
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l name -d 'Container name (used by red-wrap ps, kill, enter, logs) [default: the node\'s alias]' -r
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l red-wrap -d 'Path of red-wrap on the machine that runs the unit' -r -F
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l user -d 'Print a unit for the service manager of an ordinary user (systemctl --user)'
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -l reload -d 'Send the command SIGHUP on `systemctl reload`'
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-conf -n "__fish_red_conf_using_subcommand unit" -s V -l version -d 'Print version'
complete -c red-conf -n "__fish_red_conf_using_subcommand schema" -l color -d 'Controls when to use color' -r -f -a "auto\t''
always\t''
never\t''"
complete -c red-conf -n "__fish_red_conf_using_subcommand schema" -s v -l verbose -d 'Say more: notes too'
complete -c red-conf -n "__fish_red_conf_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-conf -n "__fish_red_conf_using_subcommand schema" -s V -l version -d 'Print version'
