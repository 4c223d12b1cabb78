# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_red_dnf_global_optspecs
    string join \n redpath= y/assumeyes assumeno downloadonly C/cacheonly refresh setopt= repofrompath= enablerepo= disablerepo= ancestor-repos system-repos nogpgcheck releasever= json q/quiet wait= with-descendants allowerasing allow-file= best h/help V/version
end

function __fish_red_dnf_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_red_dnf_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_red_dnf_using_subcommand
    set -l cmd (__fish_red_dnf_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c red-dnf -n "__fish_red_dnf_needs_command" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_needs_command" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-manager" -d 'Make a node, or give it repositories'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-search" -d 'Find packages by words in name and summary'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-info" -d 'Show what is known of packages'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-list" -d 'List packages'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-repolist" -d 'List repositories'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-repoquery" -d 'Ask for packages and their dependencies'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-provides" -d 'Find which packages provide something'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-makecache" -d 'Fetch metadata'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-clean" -d 'Remove what was fetched'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-install" -d 'Install packages, by name, version, what they provide, or file'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-remove" -d 'Remove packages, and what only they needed'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-update" -d 'Update packages; all of the node when none is named'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-downgrade" -d 'Go back to older versions of packages'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-reinstall" -d 'Install the same versions again'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-download" -d 'Fetch package files into the working directory'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-autoremove" -d 'Remove packages that nobody asked for and nothing needs'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-check-update" -d 'Say whether updates are available (exit status 100)'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-history" -d 'Show what was done, or undo it'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-rollback" -d 'Go back to a generation; to what was current before when no number is given'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-generations" -d 'List, pin and collect generations'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-check" -d 'Check that everything a tree of nodes needs is there'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-doctor" -d 'Check whether packages can be installed at a place: a node, or a directory for nodes'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-why" -d 'Say why a package is installed'
complete -c red-dnf -n "__fish_red_dnf_needs_command" -f -a "red-testcase" -d 'Solve a test case of libsolv and print the answer'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l alias -d 'Name of the node within its family; the last component of the redpath when absent' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l template -d 'Template of its configuration: a name, or a path with a slash in it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l template-admin -d 'Template of its admin configuration' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l add-repo -d 'Give the node a repository: a URL, a directory, or a .repo file' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l id -d 'Id of the repository that is added' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l gpgkey -d 'Key that signs its packages: a URL or a file' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l remove-repo -d 'Take a repository away from the node' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l create -d 'Make a node at the redpath'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l update -d 'Bring a node that is there up to date: its place, files that are missing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l no-system-node -d 'The node and its descendants stand without the packages of the core OS'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l list-repo -d 'List the node\'s repositories'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-manager" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l all -d 'Look into descriptions too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-search" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-info" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l installed -d 'What the node has (the default)'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l family -d 'What the whole family has'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l available -d 'What repositories offer'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l upgrades -d 'What repositories have newer'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l userinstalled -d 'Packages that somebody asked for'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-list" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l all -d 'Those that are disabled too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repolist" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l whatprovides -d 'Packages that provide this' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l whatrequires -d 'Packages that require this' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l installed -d 'What is installed in the family instead of what repositories offer'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l requires -d 'Show what they require'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l provides -d 'Show what they provide'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l conflicts -d 'Show what they conflict with'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l obsoletes -d 'Show what they obsolete'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l recommends -d 'Show what they recommend'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -s l -l list -d 'Show their files'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-repoquery" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-provides" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-makecache" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-clean" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-install" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-remove" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-update" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-downgrade" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-reinstall" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-download" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-autoremove" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check-update" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -f -a "list" -d 'Show all records, newest first (the default)'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -f -a "info" -d 'Show one record in full'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and not __fish_seen_subcommand_from list info undo" -f -a "undo" -d 'Undo what one record did, as a new generation'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from info" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-history; and __fish_seen_subcommand_from undo" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-rollback" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -f -a "list" -d 'Show them (the default)'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -f -a "pin" -d 'Keep one whatever happens'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -f -a "collect" -d 'Remove those that are not kept'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and not __fish_seen_subcommand_from list pin collect complete" -f -a "complete" -d 'Complete what an interrupted command left'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l remove -d 'Let it go again'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from pin" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from collect" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-generations; and __fish_seen_subcommand_from complete" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l files -d 'Verify every file of every package of the node too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-check" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-doctor" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-why" -s V -l version -d 'Print version'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l redpath -d 'The node' -r -F
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l setopt -d 'Set an option: KEY=VALUE, or REPOSITORY.KEY=VALUE' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l repofrompath -d 'Use a repository that the node does not have: ID,URL' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l enablerepo -d 'Use a repository that is disabled' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l disablerepo -d 'Leave a repository out' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l releasever -d 'What $releasever stands for' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l wait -d 'Wait this many seconds for another command on the node; for ever when no number is given' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l allow-file -d 'Let packages bring this file although it decides for the node (repositories, keys, configuration); PATH/ stands for everything below it' -r
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -s y -l assumeyes -d 'Agree beforehand'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l assumeno -d 'Show what would be done, and do nothing'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l downloadonly -d 'Fetch packages, and go no further'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -s C -l cacheonly -d 'Use the metadata that are here, however old'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l refresh -d 'Fetch metadata whatever their age'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l ancestor-repos -d 'Use repositories of ancestors too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l system-repos -d 'Use repositories of the core OS too'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l nogpgcheck -d 'Accept packages without signatures, where no node of the family demands them'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l json -d 'Print JSON'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -s q -l quiet -d 'Say less'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l with-descendants -d 'Move descendants along whose requirements would break'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l allowerasing -d 'Remove packages of the node where nothing else goes'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -l best -d 'The newest version or none'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -s h -l help -d 'Print help'
complete -c red-dnf -n "__fish_red_dnf_using_subcommand red-testcase" -s V -l version -d 'Print version'
