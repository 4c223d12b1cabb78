complete -c red-rpm -l redpath -d 'The node' -r -F
complete -c red-rpm -l wait -d 'Wait this many seconds for another command on the node' -r
complete -c red-rpm -l allow-file -d 'Let packages bring this file although it decides for the node; PATH/ stands for what is below it' -r
complete -c red-rpm -l family -d 'Ask every node of the family; each line says which one answers'
complete -c red-rpm -l help -d 'Print help'
