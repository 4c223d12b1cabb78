use super::*;

#[test]
fn what_nobody_wrote_to_goes_away() {
    let scratch = tempfile::tempdir().unwrap();
    let upper = scratch.path();
    for name in ["etc/same", "etc/written", "etc/replaced", "opt/kept"] {
        fs::create_dir_all(upper.join(name).parent().unwrap()).unwrap();
        fs::write(upper.join(name), "text").unwrap();
    }
    let stamp = |name: &str| (PathBuf::from(name), Stamp::of(&upper.join(name)).unwrap());
    let scaffold = Scaffold {
        dirs: vec!["etc".into(), "opt".into(), "opt/owned".into()],
        files: vec![stamp("etc/same"), stamp("etc/written"), stamp("etc/replaced")],
        points: vec!["usr/bound".into()],
        own: ["opt/gone", "opt/kept", "opt/owned"].into_iter().map(PathBuf::from).collect(),
        split_at: BTreeSet::new(),
    };
    fs::write(upper.join("etc/written"), "TEXT").unwrap();
    fs::write(upper.join("etc/new"), "text").unwrap();
    fs::rename(upper.join("etc/new"), upper.join("etc/replaced")).unwrap();
    fs::create_dir(upper.join("opt/owned")).unwrap();
    let owned = [PathBuf::from("/opt/owned")].into_iter().collect();
    let rest = scaffold.remove(upper, upper, &owned).unwrap();
    assert!(!upper.join("etc/same").exists());
    assert!(upper.join("etc/written").exists() && upper.join("etc/replaced").exists());
    assert_eq!(rest.gone, [PathBuf::from("opt/gone")], "an owned directory may be empty");
    assert_eq!(rest.spare, ["usr/bound", "opt", "etc"].map(PathBuf::from), "children first");
}
