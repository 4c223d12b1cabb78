use super::super::variables::Variables;
use super::super::written::load;
use super::*;

#[test]
fn variables_expand() {
    let variables = Variables([("releasever".to_owned(), "9".to_owned())].into());
    assert_eq!(variables.expand("http://x/$releasever/${releasever}a/$other/"), "http://x/9/9a/$other/");
    assert_eq!(variables.expand("$"), "$");
}

#[test]
fn mistakes_name_the_line() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("etc/yum.repos.d");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("a.repo"), "[a]\nbaseurl=http://x\nenabled=maybe\n").unwrap();
    let error = load(&[root.path().to_owned()], &Variables::default(), Overrides::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a.repo:3: invalid value `enabled=maybe`: expected 1, yes,"), "{error}");
    std::fs::create_dir_all(root.path().join("etc/dnf")).unwrap();
    std::fs::write(root.path().join("etc/dnf/dnf.conf"), "[main]\nbest=1\ngpgcheck=Ture\n").unwrap();
    let error = Settings::load(root.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("dnf.conf:3: invalid value `gpgcheck=Ture`"), "{error}");
}

fn pairs(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[test]
fn options_reach_every_repository() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("etc/yum.repos.d");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::create_dir_all(root.path().join("etc/dnf")).unwrap();
    std::fs::write(dir.join("a.repo"), "[a.b]\nbaseurl=http://x\ngpgcheck=0\nsslverify=False\n").unwrap();
    let main =
        "[main]\ngpgcheck=True\nrepo_gpgcheck=Yes\nskip_if_unavailable=On\nmetadata_expire=1m\nretries=1\n";
    std::fs::write(root.path().join("etc/dnf/dnf.conf"), main).unwrap();
    let all = |options: &[(&str, &str)], from: &[(&str, &str)]| {
        let (options, from) = (pairs(options), pairs(from));
        let main = Settings::load(root.path(), &options)?;
        let overrides = Overrides { options: &options, from_path: &from, main: Some(&main) };
        load(&[root.path().to_owned()], &Variables::default(), overrides).map(|loaded| (main, loaded.repos))
    };
    let (settings, repos) = all(&[("a.b.includepkgs", "x, y")], &[("u", "/dir")]).unwrap();
    assert!(settings.notes[0].contains("dnf.conf:6: unsupported option `retries`"), "{:?}", settings.notes);
    assert!(repos[0].notes[0].contains("a.repo:4: unsupported option `sslverify`"), "{:?}", repos[0].notes);
    assert_eq!(repos[0].include, ["x", "y"]);
    for repo in &repos {
        assert!(repo.gpgcheck && repo.repo_gpgcheck && repo.skip_if_unavailable, "{repo:?}");
        assert_eq!(repo.expire, Some(Duration::from_secs(60)));
    }
    assert_eq!(
        (repos[1].id.as_str(), &repos[1].baseurl, &repos[1].file),
        ("u", &vec!["file:///dir".to_owned()], &None)
    );
    let (_, repos) = all(&[("*.priority", "7"), ("u.cost", "5")], &[("u", "/dir")]).unwrap();
    assert_eq!((repos[0].priority, repos[1].priority, repos[1].cost), (7, 7, 5));
    for (options, from, words) in [
        (("nosuch", "1"), None, "unsupported option `nosuch`"),
        (("gpgcheck", "maybe"), None, "invalid value `gpgcheck=maybe`"),
        (("a.b.gpgchek", "1"), None, "unsupported option `gpgchek`"),
        (("a.b.gpgcheck", "?"), None, "invalid value `gpgcheck=?`"),
        (("u.gpgcheck", "1"), None, "no repository matches `u`"),
        (("best", "1"), Some("../evil"), "is no id of a repository"),
        (("best", "1"), Some("a/b"), "is no id of a repository"),
    ] {
        let from: Vec<(&str, &str)> = from.map(|id| (id, "/dir")).into_iter().collect();
        let error = all(&[options], &from).unwrap_err().to_string();
        assert!(error.contains(words), "{options:?}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn expansion_leaves_other_text_alone(text in "(?s)[^$]{0,60}", tail in "(?s)[${}a-z\u{e9}]{0,20}") {
        let variables = Variables([("a".to_owned(), "A".to_owned())].into());
        proptest::prop_assert_eq!(&variables.expand(&text), &text);
        variables.expand(&tail);
    }
}

/// What a file of `yum.repos.d`, and `dnf.conf`, are made of, and what is said of it.
fn said_of(repo: &str, conf: &str) -> Result<Vec<Repo>, String> {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc/yum.repos.d")).unwrap();
    std::fs::create_dir_all(root.path().join("etc/dnf")).unwrap();
    std::fs::write(root.path().join("etc/yum.repos.d/a.repo"), repo).unwrap();
    std::fs::write(root.path().join("etc/dnf/dnf.conf"), conf).unwrap();
    let main = Settings::load(root.path(), &[]).map_err(|error| error.to_string())?;
    let overrides = Overrides { main: Some(&main), ..Overrides::default() };
    let loaded = load(&[root.path().to_owned()], &Variables::default(), overrides);
    loaded.map(|loaded| loaded.repos).map_err(|error| error.to_string())
}

#[test]
fn misspelt_settings_are_errors_that_name_the_line() {
    const REPO: &str = "[a]\nbaseurl=http://x\n";
    for (repo, conf, wanted) in [
        ("gpgchek=1", "[main]\n", "a.repo:3: unsupported option `gpgchek`: did you mean `gpgcheck`?"),
        ("repo_gpgchek=1", "[main]\n", "a.repo:3: unsupported option `repo_gpgchek`: did you mean `repo_"),
        ("", "[main]\ngpg_check=1\n", "dnf.conf:2: unsupported option `gpg_check`: did you mean `gpgcheck`?"),
        ("", "[Main]\ngpgcheck=1\n", "dnf.conf:1: unsupported section `[Main]`: did you mean `[main]`?"),
        ("", "[main]\n[mian]\n", "dnf.conf:2: unsupported section `[mian]`: did you mean `[main]`?"),
        (
            "",
            "[main]\n\n[a]\ngpgcheck=1\n",
            "dnf.conf:3: unsupported section `[a]`: repositories are in files",
        ),
    ] {
        let said = said_of(&format!("{REPO}{repo}\n"), conf);
        assert!(said.as_ref().is_err_and(|words| words.contains(wanted)), "{repo} {conf}: {said:?}");
    }
}

#[test]
fn options_of_vendors_are_named() {
    let said = said_of(
        "[a]\nbaseurl=http://x\nreport_instanceid=yes\ngpgcheck=1\n",
        "[main]\nskip_md_filelists=1\n",
    );
    let repos = said.unwrap();
    assert!(repos[0].gpgcheck);
    assert!(repos[0].notes[0].ends_with("a.repo:3: unsupported option `report_instanceid` is not in force"));
}

#[test]
fn both_names_of_an_option_demand_signatures() {
    const REPO: &str = "[a]\nbaseurl=http://x\n";
    for (repo, conf, wanted) in [
        ("pkg_gpgcheck=1", "", true),
        ("pkg_gpgcheck=Yes\ngpgcheck=0", "", true),
        ("gpgcheck=1\npkg_gpgcheck=0", "", true),
        ("", "pkg_gpgcheck=True", true),
        ("gpgcheck=0", "pkg_gpgcheck=1", true),
        ("pkg_gpgcheck=0", "pkg_gpgcheck=0", false),
    ] {
        let repos = said_of(&format!("{REPO}{repo}\n"), &format!("[main]\n{conf}\n")).unwrap();
        assert_eq!(repos[0].gpgcheck, wanted, "{repo} {conf}");
    }
    // The command line's is the last word, in either spelling.
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc/dnf")).unwrap();
    std::fs::write(root.path().join("etc/dnf/dnf.conf"), "[main]\npkg_gpgcheck=1\n").unwrap();
    assert!(Settings::load(root.path(), &[]).unwrap().gpgcheck());
    assert!(!Settings::load(root.path(), &pairs(&[("gpgcheck", "0")])).unwrap().gpgcheck());
}

#[test]
fn settings_of_ancestors_bind_their_repositories() {
    let (parent, child) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (root, id) in [(&parent, "theirs"), (&child, "own")] {
        std::fs::create_dir_all(root.path().join("etc/yum.repos.d")).unwrap();
        std::fs::create_dir_all(root.path().join("etc/dnf")).unwrap();
        let text = format!("[{id}]\nbaseurl=http://x\ngpgcheck=0\n");
        std::fs::write(root.path().join("etc/yum.repos.d/a.repo"), text).unwrap();
    }
    let roots = [parent.path().to_owned(), child.path().to_owned()];
    for (conf, packages, metadata) in [
        ("", false, false),
        ("gpgcheck=1", true, false),
        ("pkg_gpgcheck=1", true, false),
        ("repo_gpgcheck=True", false, true),
    ] {
        std::fs::write(parent.path().join("etc/dnf/dnf.conf"), format!("[main]\n{conf}\n")).unwrap();
        let main = Settings::load(child.path(), &[]).unwrap();
        let overrides = Overrides { main: Some(&main), ..Overrides::default() };
        let repos = load(&roots, &Variables::default(), overrides).unwrap().repos;
        let found: Vec<_> =
            repos.iter().map(|repo| (repo.id.as_str(), repo.gpgcheck, repo.repo_gpgcheck)).collect();
        assert_eq!(found, [("own", false, false), ("theirs", packages, metadata)], "{conf}");
    }
}

#[test]
fn files_of_dnf5_are_in_force() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join("etc").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("yum.repos.d/a.repo", "[a]\nbaseurl=http://x\ngpgcheck=0\n[b]\nbaseurl=http://x\n");
    let all = || {
        let main = Settings::load(root.path(), &[]).map_err(|error| error.to_string())?;
        let overrides = Overrides { main: Some(&main), ..Overrides::default() };
        let loaded = load(&[root.path().to_owned()], &Variables::default(), overrides);
        loaded.map(|loaded| (main, loaded)).map_err(|error| error.to_string())
    };
    write("dnf/libdnf5.conf.d/20-a.conf", "[main]\ngpgcheck=1\nbest=0\n");
    write("dnf/libdnf5.conf.d/30-a.conf", "[main]\nbest=1\ntsflags=nodocs\n");
    write("dnf/libdnf5.conf.d/90.disabled", "[main]\nbest=maybe\n");
    let (main, loaded) = all().unwrap();
    assert!(loaded.repos.iter().all(|repo| repo.gpgcheck) && main.on("best", false));
    write("dnf/dnf.conf", "[main]\ngpgcheck=0\nbest=0\n");
    let (main, loaded) = all().unwrap();
    assert!(!loaded.repos[0].gpgcheck && !main.on("best", true) && main.get("tsflags") == Some("nodocs"));
    let changes = "[*]\npkg_gpgcheck=1\n[b]\nenabled=0\nretries=3\n[gone]\nrepo_gpgcheck=1\n";
    write("dnf/repos.override.d/99-config_manager.repo", changes);
    let (_, loaded) = all().unwrap();
    assert!(loaded.repos.iter().all(|repo| repo.notes.is_empty()), "{loaded:?}");
    let found: Vec<_> = loaded.repos.iter().map(|repo| (repo.gpgcheck, repo.enabled)).collect();
    assert_eq!(found, [(true, true), (true, false)]);
    for words in
        ["manager.repo:5: unsupported option `retries`", "manager.repo:6: no repository matches `gone`"]
    {
        assert!(loaded.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", loaded.notes);
    }
    for (name, text, wanted) in [
        ("dnf/libdnf5.conf.d/20-a.conf", "[main]\ngpgchek=1\n", "20-a.conf:2: unsupported option `gpgchek`"),
        ("dnf/libdnf5.conf.d/20-a.conf", "[mian]\n", "20-a.conf:1: unsupported section"),
        ("dnf/repos.override.d/a.repo", "[a]\nrepo_gpgchek=1\n", "a.repo:2: unsupported option"),
        ("dnf/repos.override.d/a.repo", "[a]\ngpgcheck=maybe\n", "a.repo:2: invalid value"),
    ] {
        write(name, text);
        let said = all().unwrap_err();
        assert!(said.contains(wanted), "{said}");
        write(name, "");
    }
}

#[test]
fn shipped_changes_and_second_files_demand_signatures() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let found = || {
        let all = load(&[root.path().to_owned()], &Variables::default(), Overrides::default()).unwrap();
        (all.repos[0].gpgcheck, all.repos[0].repo_gpgcheck, all.repos[0].enabled)
    };
    write("etc/yum.repos.d/a.repo", "[a]\nbaseurl=http://x\n");
    let shipped = "usr/share/dnf5/repos.override.d/50-x.repo";
    write(shipped, "[*]\npkg_gpgcheck=1\nenabled=0\n");
    assert_eq!(found(), (true, false, true));
    // As with dnf5, they are in the order of their names, and a file of the node's own takes the place of one of that name.
    write("etc/dnf/repos.override.d/60-x.repo", "[a]\ngpgcheck=0\n");
    assert_eq!(found(), (false, false, true));
    write("etc/dnf/repos.override.d/60-x.repo", "");
    write("etc/dnf/repos.override.d/40-x.repo", "[a]\ngpgcheck=0\n");
    assert_eq!(found(), (true, false, true));
    write("etc/dnf/repos.override.d/50-x.repo", "");
    assert_eq!(found(), (false, false, true));
    // Which of two files is the first depends on the version of dnf.
    write("etc/yum.repos.d/a-b.repo", "[a]\nbaseurl=http://y\n");
    write("etc/yum.repos.d/a.repo", "[a]\nbaseurl=http://x\nrepo_gpgcheck=1\n");
    assert_eq!(found(), (false, true, true));
}

#[test]
fn a_main_section_among_repositories_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("etc/yum.repos.d/a.repo");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let load = |main: &str| {
        std::fs::write(&path, format!("[main]\n{main}\n[a]\nbaseurl=http://x\n")).unwrap();
        load(&[root.path().to_owned()], &Variables::default(), Overrides::default())
    };
    for main in ["", "enabled=1", "best=1\nexlcude=x"] {
        let loaded = load(main).unwrap();
        assert_eq!((loaded.repos.len(), loaded.repos[0].id.as_str()), (1, "a"), "{main}");
        assert!(loaded.notes[0].contains("a.repo:1: section `[main]` is not in force"), "{:?}", loaded.notes);
    }
    for key in ["gpgcheck", "repo_gpgcheck", "pkg_gpgcheck", "localpkg_gpgcheck", "gpgchek", "sslverify"] {
        let said = load(&format!("best=1\n{key}=1")).unwrap_err().to_string();
        assert!(said.contains(&format!("a.repo:3: `{key}` of `[main]` is not in force")), "{said}");
    }
    // Somebody calls a repository so.
    let loaded = load("baseurl=http://y\ngpgcheck=1").unwrap();
    let found: Vec<_> = loaded.repos.iter().map(|repo| (repo.id.as_str(), repo.gpgcheck)).collect();
    assert_eq!((found, loaded.notes.len()), (vec![("a", false), ("main", true)], 0));
    // One that is added.
    let (node, given) = (tempfile::tempdir().unwrap(), root.path().join("b.repo"));
    for (main, good) in [("best=1", true), ("gpgcheck=1", false)] {
        std::fs::write(&given, format!("[main]\n{main}\n[b]\nbaseurl=http://x\n")).unwrap();
        let said = crate::repo::add(node.path(), given.to_str().unwrap(), None, None);
        assert_eq!(said.ok(), good.then(|| vec!["b".to_owned()]), "{main}");
        std::fs::remove_dir_all(node.path().join("etc")).unwrap_or_default();
    }
}

#[test]
fn nothing_is_weaker_than_with_dnf() {
    const A: &str = "[a]\nbaseurl=http://x\n";
    for (repo, conf, wanted) in [
        (format!("{A}gpgcheck=1\n{A}"), "", Ok((true, false))),
        (format!("{A}gpgcheck=1\n[b]\nbaseurl=http://y\n{A}name=n\n"), "", Ok((true, false))),
        (format!("{A}gpgcheck=1\nGPGCHECK=0\n"), "", Err("a.repo:4: unsupported option `GPGCHECK`")),
        (format!("{A}gpgcheck=1\nRepo_GPGcheck=1\n"), "", Err("unsupported option `Repo_GPGcheck`")),
        (A.into(), "GPGCHECK=1", Err("dnf.conf:2: unsupported option `GPGCHECK`")),
        (format!("{A}gpgcheck=1\n"), "gpgcheck_policy=legacy", Ok((true, false))),
        (format!("{A}gpgcheck=1\n"), "gpgcheck_policy=full", Ok((true, true))),
        (A.into(), "gpgcheck=1\ngpgcheck_policy=all", Ok((true, true))),
        (format!("{A}repo_gpgcheck=0\n"), "gpgcheck=1\ngpgcheck_policy=all", Ok((true, false))),
        (A.into(), "gpgcheck_policy=some", Err("expected legacy, full or all")),
        ("\u{feff}[a] # one\nbaseurl=http://x\nmetadata_expire=1.5d\n".into(), "", Ok((false, false))),
    ] {
        let said = said_of(&repo, &format!("[main]\n{conf}\n"));
        match wanted {
            Ok(wanted) => {
                let repos = said.unwrap();
                assert_eq!((repos[0].gpgcheck, repos[0].repo_gpgcheck), wanted, "{repo} {conf}");
            }
            Err(words) => assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{said:?}"),
        }
    }
    assert_eq!(options::seconds("1.5d"), Some(Some(129_600)));
    assert_eq!((options::seconds("1.5.d"), options::seconds(".")), (None, None));
    // The first file of a node has the say, the last node.
    let (parent, child) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (root, name, more) in
        [(&parent, "a", "gpgcheck=1\nname=first"), (&parent, "z", "gpgcheck=0"), (&child, "a", "name=child")]
    {
        let dir = root.path().join("etc/yum.repos.d");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{name}.repo")), format!("{A}{more}\n")).unwrap();
    }
    let all = |roots: &[PathBuf]| load(roots, &Variables::default(), Overrides::default()).unwrap();
    let (above, below) = (parent.path().to_owned(), child.path().to_owned());
    let loaded = all(std::slice::from_ref(&above));
    assert_eq!((loaded.repos[0].name.as_str(), loaded.repos[0].gpgcheck), ("first", true));
    assert!(
        loaded.notes[0].contains("z.repo:1: repository `a` is in another file too"),
        "{:?}",
        loaded.notes
    );
    assert_eq!(all(&[above, below]).repos[0].name, "child");
}

#[test]
fn what_a_distribution_ships_with_dnf5_only_demands() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let asked = || {
        let main = Settings::load(root.path(), &[]).unwrap();
        (main.gpgcheck(), main.on("best", false), main.demands)
    };
    let shipped = "usr/share/dnf5/libdnf.conf.d/20-fedora.conf";
    write(shipped, "[main]\npkg_gpgcheck=1\nbest=1\nsome_gpg_option=1\n");
    assert_eq!(asked(), (true, false, Some(root.path().join(shipped))));
    write("etc/dnf/dnf.conf", "[main]\ngpgcheck=0\n");
    assert_eq!(asked(), (false, false, None));
    write("etc/dnf/dnf.conf", "");
    write("etc/dnf/libdnf5.conf.d/20-fedora.conf", "");
    assert!(!asked().0);
}
