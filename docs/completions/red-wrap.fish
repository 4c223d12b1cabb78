# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_red_wrap_global_optspecs
    string join \n r/redpath= admin= rmain= strict= force unsafe user= group= smack= e/env= d/detach name= die-with-parent new-session timings v/verbose= root= show dump-only plan h/help V/version
end

function __fish_red_wrap_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_red_wrap_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_red_wrap_using_subcommand
    set -l cmd (__fish_red_wrap_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c red-wrap -n "__fish_red_wrap_needs_command" -s r -l redpath -l rpath -l rp -d 'The node' -r -F
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l admin -d 'Admin mode: admin files are in force; FILE replaces main-admin.yaml' -r -F
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l rmain -d 'Replaces main.yaml' -r -F
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l strict -d 'What is missing is an error' -r -f -a "yes\t''
no\t''"
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l user -d 'User the command runs as, by name or number' -r
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l group -d 'Group the command runs as, by name or number' -r
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l smack -d 'Smack label of the command' -r
complete -c red-wrap -n "__fish_red_wrap_needs_command" -s e -l env -d 'Set a variable for the command, or pass on the launcher\'s' -r
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l name -d 'Name of what runs, for `red-wrap ps` and the like' -r
complete -c red-wrap -n "__fish_red_wrap_needs_command" -s v -l verbose -d 'Say more' -r
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l root -d 'Directory of states' -r -F
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l force -d 'The opposite of --strict'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l unsafe -d 'Nodes that were moved start all the same'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -s d -l detach -d 'Run it in the background; its output goes to a file (`red-wrap logs`)'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l die-with-parent -d 'It ends with the launcher'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l new-session -d 'It is in a session of its own'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l timings -d 'Say when each phase of the launch was over, on stderr'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l show -l dump -d 'Show the plan on stderr before the launch'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l dump-only -d 'Show the plan and launch nothing'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -l plan -d 'Print the plan as one JSON document and launch nothing'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -s V -l version -d 'Print version'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -a "ps" -d 'List what runs'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -a "enter" -d 'Run a further command in what runs'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -a "kill" -d 'Send a signal'
complete -c red-wrap -n "__fish_red_wrap_needs_command" -a "logs" -d 'Show what a detached command has printed'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand ps" -l root -d 'Directory of states' -r -F
complete -c red-wrap -n "__fish_red_wrap_using_subcommand ps" -s a -l all -d 'Also list what has ended, with its exit status'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand ps" -l json -d 'Print one JSON document'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand ps" -s h -l help -d 'Print help'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand ps" -s V -l version -d 'Print version'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand enter" -l root -d 'Directory of states' -r -F
complete -c red-wrap -n "__fish_red_wrap_using_subcommand enter" -s h -l help -d 'Print help'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand enter" -s V -l version -d 'Print version'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand kill" -l root -d 'Directory of states' -r -F
complete -c red-wrap -n "__fish_red_wrap_using_subcommand kill" -s h -l help -d 'Print help'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand kill" -s V -l version -d 'Print version'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand logs" -l root -d 'Directory of states' -r -F
complete -c red-wrap -n "__fish_red_wrap_using_subcommand logs" -s h -l help -d 'Print help'
complete -c red-wrap -n "__fish_red_wrap_using_subcommand logs" -s V -l version -d 'Print version'
