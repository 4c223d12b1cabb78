use super::*;

fn node(alias: &str) -> NodeVars {
    NodeVars {
        alias: alias.to_owned(),
        name: format!("name-{alias}"),
        path: format!("/pool/{alias}"),
        info: format!("info of $NODE_ALIAS as {alias}"),
        config_file: "etc/redpak.yaml",
        admin_file: "etc/redpak-admin.yaml",
    }
}

struct Echo(Vec<String>);

impl Runner for Echo {
    fn run(&mut self, command: &str) -> Result<String, String> {
        self.0.push(command.to_owned());
        if command == "false" { Err("ended with status 1".into()) } else { Ok(format!("<{command}>")) }
    }
}

fn launch(environment: &[(&str, &str)]) -> Launch {
    let mut launch = crate::testing::launch();
    launch.environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    launch
}

fn with(text: &str, launch: &Launch, commands: Commands<'_>) -> Result<Text, ExpandError> {
    expand(text, Scope { node: &node("base"), leaf: &node("app"), launch }, commands)
}

fn expanded(text: &str) -> Text {
    let environment = [("FOO", "foo"), ("BAR", "$FOO-$NODE_ALIAS"), ("DOLLAR", "\\$FOO"), ("CMD", "$(rm x)")];
    with(text, &launch(&environment), Commands::Forbidden).expect("it expands")
}

#[test]
fn every_variable_of_the_table() {
    for (text, actual, canonical) in [
        ("$NODE_ALIAS $LEAF_ALIAS", "base app", "base app"),
        ("$NODE_NAME $LEAF_NAME", "name-base name-app", "name-base name-app"),
        ("$NODE_PATH/x $LEAF_PATH", "/pool/base/x /pool/app", "/pool/base/x /pool/app"),
        ("$LEAF_INFO", "info of base as app", "info of base as app"),
        ("$UID:$GID:$PID", "1000:100:42", "${UID}:${GID}:${PID}"),
        ("$TODAY/$UUID", "a day/a-uuid", "${TODAY}/${UUID}"),
        ("$USER $LOGNAME $HOSTNAME", "Unknown Unknown localhost", "${USER} ${LOGNAME} ${HOSTNAME}"),
        ("[$NODE_PREFIX] $REDPESK_VERSION", "[] agl-redpesk9", "[] agl-redpesk9"),
        ("$redpak_MAIN", "/etc/redpak/main.yaml", "/etc/redpak/main.yaml"),
        ("$redpak_TMPL", "/etc/redpak/templates.d", "/etc/redpak/templates.d"),
        ("$CGROUPS_MOUNT_POINT", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("$REDNODE_CONF", "/pool/base/etc/redpak.yaml", "/pool/base/etc/redpak.yaml"),
        ("$REDNODE_ADMIN", "/pool/base/etc/redpak-admin.yaml", "/pool/base/etc/redpak-admin.yaml"),
        ("$REDNODE_STATUS", "/pool/base/.rednode.yaml", "/pool/base/.rednode.yaml"),
        ("$REDNODE_VARDIR", "/pool/base/var/lib/rpm", "/pool/base/var/lib/rpm"),
        ("$REDNODE_REPODIR", "/pool/base/etc/yum.repos.d", "/pool/base/etc/yum.repos.d"),
        ("$REDNODE_LOCK", "/pool/base/.rpm.lock", "/pool/base/.rpm.lock"),
        ("a$FOO", "afoo", "a${FOO}"),
        ("$BAR", "foo-base", "${BAR}"),
        ("${FOO}bar $FOO_ x", "foobar  x", "${FOO}bar ${FOO_} x"),
        ("\\$FOO $DOLLAR", "$FOO $FOO", "\\$FOO ${DOLLAR}"),
        ("cost: 5$, $ and ${", "cost: 5$, $ and ${", "cost: 5\\$, \\$ and \\${"),
        ("$CMD", "$(rm x)", "${CMD}"),
    ] {
        let text_ = expanded(text);
        assert_eq!((text_.actual.as_str(), text_.canonical().as_ref()), (actual, canonical), "{text}");
        assert!(!text_.unresolved);
    }
}

#[test]
fn the_environment_may_replace_built_in_defaults() {
    let launch = launch(&[("NODE_PREFIX", "/opt"), ("USER", "me"), ("NODE_ALIAS", "ignored")]);
    let text = with("$redpak_MAIN $USER $NODE_ALIAS", &launch, Commands::Forbidden).expect("it expands");
    assert_eq!(text.actual, "/opt/etc/redpak/main.yaml me base");
}

#[test]
fn names_that_stand_for_nothing_are_remembered() {
    assert_eq!(expanded("$NOPE/$NOPE/$node_alias").unknown, ["NOPE", "node_alias"]);
    assert_eq!(expanded("$NOPE/x").actual, "/x");
    assert!(expanded("$FOO").unknown.is_empty());
}

#[test]
fn paths_of_nodes_are_taken_as_they_are_on_disk() {
    let mut odd = node("odd");
    odd.path = "/pool/$FOO $(reboot)".to_owned();
    let launch = launch(&[("FOO", "x")]);
    let scope = Scope { node: &odd, leaf: &odd, launch: &launch };
    let text = expand("$NODE_PATH/$REDNODE_CONF", scope, Commands::Forbidden).expect("it expands");
    assert_eq!(text.actual, "/pool/$FOO $(reboot)//pool/$FOO $(reboot)/etc/redpak.yaml");
}

#[test]
fn the_written_text_is_kept() {
    assert_eq!(expanded("a $UID").written(), "a $UID");
    assert_eq!(expanded("plain").written(), "plain");
}

#[test]
fn commands_run_once_with_their_variables_expanded() {
    let mut echo = Echo(Vec::new());
    let launch = launch(&[("FOO", "foo")]);
    let text =
        with("a $(get $UID (x) $(inner $FOO)) z", &launch, Commands::Run(&mut echo)).expect("it expands");
    assert_eq!(echo.0, ["get 1000 (x) $(inner foo)"]);
    assert_eq!(text.actual, "a <get 1000 (x) $(inner foo)> z");
    assert_eq!(text.canonical(), "a $(get ${UID} (x) $(inner ${FOO})) z");
    assert!(text.is_volatile() && !text.unresolved);
}

#[test]
fn a_kept_command_has_the_same_canonical_text_as_one_that_ran() {
    let launch = launch(&[("FOO", "foo")]);
    for text in ["$(a $UID)", "x$(b \\$FOO $FOO)y", "$(c $(d $NODE_ALIAS))"] {
        let kept = with(text, &launch, Commands::Keep).expect("it expands");
        let ran = with(text, &launch, Commands::Run(&mut Echo(Vec::new()))).expect("it expands");
        assert_eq!(kept.canonical(), ran.canonical(), "{text}");
        assert!(kept.unresolved);
    }
}

#[test]
fn a_text_for_the_shell_keeps_its_own_substitutions() {
    let launch = launch(&[("FOO", "foo")]);
    let text =
        with("getent group $(id -g) $UID; echo \\$HOME", &launch, Commands::ForShell).expect("it expands");
    assert_eq!(text.actual, "getent group $(id -g) 1000; echo $HOME");
    assert!(!text.unresolved);
}

#[test]
fn commands_are_refused_or_fail_with_their_text() {
    let launch = launch(&[]);
    let error = |text: &str, commands: Commands<'_>| {
        with(text, &launch, commands).expect_err("it does not").to_string()
    };
    assert_eq!(error("$(id)", Commands::Forbidden), "`$(id)`: commands are not run here");
    assert_eq!(error("$(id", Commands::Keep), "`$(` without its `)`");
    assert_eq!(error("$(false)", Commands::Run(&mut Echo(Vec::new()))), "`$(false)` ended with status 1");
}

#[test]
fn values_that_lead_back_or_multiply_are_refused() {
    let error = |environment: &[(&str, &str)], text: &str| {
        with(text, &launch(environment), Commands::Forbidden).expect_err("it does not end")
    };
    assert_eq!(error(&[("A", "$A")], "$A"), ExpandError::TooDeep { name: "A".into() });
    assert_eq!(error(&[("A", "x$B"), ("B", "$A")], "$A"), ExpandError::TooDeep { name: "A".into() });
    // Twice as much at each level, of nothing and of something.
    let names: Vec<String> = (0..15).map(|n| format!("V{n}")).collect();
    let mut doubling: Vec<(String, String)> =
        (0..14).map(|n| (names[n].clone(), format!("${0}${0}", names[n + 1]))).collect();
    doubling.push((names[14].clone(), String::new()));
    let pairs: Vec<(&str, &str)> = doubling.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(error(&pairs, "$V0"), ExpandError::TooManySteps);
    let long = "x".repeat(limits::EXPANDED_BYTES / 2 + 1);
    assert_eq!(error(&[("L", &long)], "$L$L"), ExpandError::TooLong);
}

#[test]
fn what_a_leaf_calls_itself_is_one_name_of_a_path() {
    let launch = launch(&[("CALLED", "$LEAF_NAME")]);
    let why = |text: &str, name: &str| {
        let leaf = NodeVars { name: name.to_owned(), info: "x/y".to_owned(), ..node("app") };
        let scope = Scope { node: &node("base"), leaf: &leaf, launch: &launch };
        let mut echo = Echo(Vec::new());
        let (text, from) = expand_told(text, scope, Commands::Run(&mut echo)).unwrap();
        astray(&text.actual, &from).map(|(part, _)| (part.variable, part.value.clone()))
    };
    let named = |name: &str| Some(("LEAF_NAME", name.to_owned()));
    for name in ["../usr", "a/b", "/", "..", ".", ""] {
        assert_eq!(why("/shared/$LEAF_NAME", name), named(name), "{name}");
        assert_eq!(why("/shared/${LEAF_NAME}/deep", name), named(name), "{name}");
        assert_eq!(why("/shared/$CALLED", name), named(name), "{name}: by way of another variable");
    }
    for name in ["app", "My App", "..a", "a..", "v1.2"] {
        assert_eq!(why("/shared/$LEAF_NAME/x", name), None, "{name}");
    }
    // Of a name it is a part.
    assert_eq!(why("/shared/data-$LEAF_NAME", ".."), None);
    assert_eq!(why("/shared/.$LEAF_NAME", "."), named("."));
    assert_eq!(why("/shared/$LEAF_NAME$LEAF_NAME", "."), named("."));
    assert_eq!(why("/shared/$LEAF_INFO", "app"), Some(("LEAF_INFO", "x/y".to_owned())));
    assert_eq!(why("/shared/$LEAF_ALIAS:$LEAF_PATH", "a/b"), None, "an alias is one, and a path is one");
    // What a command makes of it, nobody can tell.
    for name in ["x;pwd", "$(pwd)", "a b", "`pwd`", "a/b", "*"] {
        assert_eq!(why("/shared/$(echo $LEAF_NAME)", name), named(name), "{name}");
    }
    assert_eq!(why("/shared/$(echo $LEAF_NAME)", "app-1.2"), None);
}
