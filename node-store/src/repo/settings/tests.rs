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
        "[main]\ngpgcheck=True\nrepo_gpgcheck=Yes\nskip_if_unavailable=On\nmetadata_expire=1m\nnosuch=1\n";
    std::fs::write(root.path().join("etc/dnf/dnf.conf"), main).unwrap();
    let all = |options: &[(&str, &str)], from: &[(&str, &str)]| {
        let (options, from) = (pairs(options), pairs(from));
        let main = Settings::load(root.path(), &options)?;
        let overrides = Overrides { options: &options, from_path: &from, main: Some(&main) };
        load(&[root.path().to_owned()], &Variables::default(), overrides).map(|repos| (main, repos))
    };
    let (settings, repos) = all(&[("a.b.includepkgs", "x, y")], &[("u", "/dir")]).unwrap();
    assert!(settings.notes[0].contains("dnf.conf:6: unsupported option `nosuch`"), "{:?}", settings.notes);
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
