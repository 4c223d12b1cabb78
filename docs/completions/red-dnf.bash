_red__dnf() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="red__dnf"
                ;;
            red__dnf,red-autoremove)
                cmd="red__dnf__subcmd__red__subcmd__autoremove"
                ;;
            red__dnf,red-check)
                cmd="red__dnf__subcmd__red__subcmd__check"
                ;;
            red__dnf,red-check-update)
                cmd="red__dnf__subcmd__red__subcmd__check__subcmd__update"
                ;;
            red__dnf,red-clean)
                cmd="red__dnf__subcmd__red__subcmd__clean"
                ;;
            red__dnf,red-doctor)
                cmd="red__dnf__subcmd__red__subcmd__doctor"
                ;;
            red__dnf,red-downgrade)
                cmd="red__dnf__subcmd__red__subcmd__downgrade"
                ;;
            red__dnf,red-download)
                cmd="red__dnf__subcmd__red__subcmd__download"
                ;;
            red__dnf,red-generations)
                cmd="red__dnf__subcmd__red__subcmd__generations"
                ;;
            red__dnf,red-history)
                cmd="red__dnf__subcmd__red__subcmd__history"
                ;;
            red__dnf,red-info)
                cmd="red__dnf__subcmd__red__subcmd__info"
                ;;
            red__dnf,red-install)
                cmd="red__dnf__subcmd__red__subcmd__install"
                ;;
            red__dnf,red-list)
                cmd="red__dnf__subcmd__red__subcmd__list"
                ;;
            red__dnf,red-makecache)
                cmd="red__dnf__subcmd__red__subcmd__makecache"
                ;;
            red__dnf,red-manager)
                cmd="red__dnf__subcmd__red__subcmd__manager"
                ;;
            red__dnf,red-provides)
                cmd="red__dnf__subcmd__red__subcmd__provides"
                ;;
            red__dnf,red-reinstall)
                cmd="red__dnf__subcmd__red__subcmd__reinstall"
                ;;
            red__dnf,red-remove)
                cmd="red__dnf__subcmd__red__subcmd__remove"
                ;;
            red__dnf,red-repolist)
                cmd="red__dnf__subcmd__red__subcmd__repolist"
                ;;
            red__dnf,red-repoquery)
                cmd="red__dnf__subcmd__red__subcmd__repoquery"
                ;;
            red__dnf,red-rollback)
                cmd="red__dnf__subcmd__red__subcmd__rollback"
                ;;
            red__dnf,red-search)
                cmd="red__dnf__subcmd__red__subcmd__search"
                ;;
            red__dnf,red-testcase)
                cmd="red__dnf__subcmd__red__subcmd__testcase"
                ;;
            red__dnf,red-update)
                cmd="red__dnf__subcmd__red__subcmd__update"
                ;;
            red__dnf,red-why)
                cmd="red__dnf__subcmd__red__subcmd__why"
                ;;
            red__dnf__subcmd__red__subcmd__generations,collect)
                cmd="red__dnf__subcmd__red__subcmd__generations__subcmd__collect"
                ;;
            red__dnf__subcmd__red__subcmd__generations,complete)
                cmd="red__dnf__subcmd__red__subcmd__generations__subcmd__complete"
                ;;
            red__dnf__subcmd__red__subcmd__generations,list)
                cmd="red__dnf__subcmd__red__subcmd__generations__subcmd__list"
                ;;
            red__dnf__subcmd__red__subcmd__generations,pin)
                cmd="red__dnf__subcmd__red__subcmd__generations__subcmd__pin"
                ;;
            red__dnf__subcmd__red__subcmd__history,info)
                cmd="red__dnf__subcmd__red__subcmd__history__subcmd__info"
                ;;
            red__dnf__subcmd__red__subcmd__history,list)
                cmd="red__dnf__subcmd__red__subcmd__history__subcmd__list"
                ;;
            red__dnf__subcmd__red__subcmd__history,undo)
                cmd="red__dnf__subcmd__red__subcmd__history__subcmd__undo"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        red__dnf)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version red-manager red-search red-info red-list red-repolist red-repoquery red-provides red-makecache red-clean red-install red-remove red-update red-downgrade red-reinstall red-download red-autoremove red-check-update red-history red-rollback red-generations red-check red-doctor red-why red-testcase"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__autoremove)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__check)
            opts="-y -C -q -h -V --files --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__check__subcmd__update)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__clean)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version all packages metadata dbcache"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__doctor)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__downgrade)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__download)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__generations)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version list pin collect complete"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__generations__subcmd__collect)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__generations__subcmd__complete)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__generations__subcmd__list)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__generations__subcmd__pin)
            opts="-y -C -q -h -V --remove --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__history)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version list info undo"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__history__subcmd__info)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__history__subcmd__list)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__history__subcmd__undo)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__info)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__install)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__list)
            opts="-y -C -q -h -V --installed --family --available --upgrades --userinstalled --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__makecache)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__manager)
            opts="-y -C -q -h -V --create --update --alias --template --template-admin --no-system-node --add-repo --id --gpgkey --remove-repo --list-repo --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --alias)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --template)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --template-admin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --add-repo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --id)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --gpgkey)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --remove-repo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__provides)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__reinstall)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__remove)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__repolist)
            opts="-y -C -q -h -V --all --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__repoquery)
            opts="-l -y -C -q -h -V --installed --whatprovides --whatrequires --requires --provides --conflicts --obsoletes --recommends --list --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --whatprovides)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --whatrequires)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__rollback)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__search)
            opts="-y -C -q -h -V --all --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__testcase)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__update)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        red__subcmd__dnf__subcmd__red__subcmd__why)
            opts="-y -C -q -h -V --redpath --assumeyes --assumeno --downloadonly --cacheonly --refresh --setopt --repofrompath --enablerepo --disablerepo --ancestor-repos --system-repos --nogpgcheck --releasever --json --quiet --wait --with-descendants --allowerasing --allow-file --best --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --redpath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --setopt)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repofrompath)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --enablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --disablerepo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --releasever)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _red__dnf -o nosort -o bashdefault -o default red-dnf
else
    complete -F _red__dnf -o bashdefault -o default red-dnf
fi
