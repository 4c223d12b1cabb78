use super::*;

const TEXT: &str = r"27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
22 27 0:21 / /proc rw - proc proc rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
40 27 254:0 /srv/ro /srv/alias rw - ext4 /dev/vda rw
41 27 254:0 / /sysroot rw - ext4 /dev/vda rw
42 27 0:50 / /with\040space rw - tmpfs none rw
43 27 0:51 / /data rw - tmpfs first rw
44 43 0:52 / /data rw - tmpfs second rw
45 27 0:60 / /over rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/up,workdir=/w
";

#[test]
fn a_place_is_one_under_every_name() {
    let table = MountTable::parse(TEXT);
    let real = table.locate(27, "/srv/ro/x").unwrap();
    assert_eq!(table.locate(40, "/srv/alias/x").unwrap(), real);
    assert_eq!(table.locate(41, "/sysroot/srv/ro/x").unwrap(), real);
    assert_eq!(table.locate(0, "/srv/alias/x").unwrap(), real);
    assert!(table.locate(27, "/srv").unwrap().contains(&real));
    assert!(!real.contains(&table.locate(27, "/srv/rose").unwrap()));
    assert!(table.locate(41, "/sysroot").unwrap().contains(&real), "the whole disk");
    assert_eq!(table.locate(27, "/").unwrap().as_str(), "/254:0");
    assert_eq!(table.locate(0, "/with space/x").unwrap().as_str(), "/0:50/x");
    assert_eq!(table.locate(0, "/data/x").unwrap().as_str(), "/0:52/x", "the later mount is seen");
    assert_eq!(table.locate(99, "/x"), None, "a mount that was not read");
}

#[test]
fn recursive_binds_bring_mounts_along() {
    let table = MountTable::parse(TEXT);
    let points = |dir: &str| table.below(dir).map(|entry| entry.point.clone()).collect::<Vec<_>>();
    assert_eq!(points("/dev"), ["/dev/shm"]);
    assert_eq!(points("/srv/al"), Vec::<String>::new());
    assert_eq!(points("/").len(), 9);
    assert!(table.mount_of(22, "/proc/1").unwrap().is_kernels());
    assert!(table.mount_of(24, "/dev/null").unwrap().is_kernels());
    assert!(!table.mount_of(25, "/dev/shm").unwrap().is_kernels());
    let of = |fstype: &str| {
        MountTable::parse(&format!("50 27 0:60 / /mnt/x rw - {fstype} x rw")).entries[0].is_kernels()
    };
    let modules = ["nfsd", "rpc_pipefs", "binder", "xenfs", "functionfs", "gadgetfs", "aafs"];
    assert!(modules.into_iter().all(of), "those of modules, wherever they are mounted");
    assert!(!["ext4", "tmpfs", "overlay", "nfs4", "fuse"].into_iter().any(of));
}

#[test]
fn layers_of_an_overlay_are_what_it_shows() {
    let table = MountTable::parse(TEXT);
    let all = table.layers(45, "/over/a/b");
    let names: Vec<&str> = all.iter().map(Location::as_str).collect();
    assert_eq!(names, ["/254:0/l1/a/b", "/254:0/l2/a/b", "/254:0/up/a/b"]);
    assert!(table.layers(27, "/over").is_empty());
    assert_eq!(table.with_unknown_layers(45, "/over/a"), None);
}

#[test]
fn layers_are_found_however_they_are_written() {
    let found = |options: &str| {
        let text = format!("{TEXT}46 27 0:61 / /o rw - overlay overlay rw,{options}\n");
        let table = MountTable::parse(&text);
        let all = table.layers(46, "/o/x").iter().map(|place| place.as_str().to_owned()).collect::<Vec<_>>();
        (all, table.with_unknown_layers(46, "/o/x").is_some())
    };
    let places = |all: &[&str]| all.iter().map(|one| format!("/254:0{one}/x")).collect::<Vec<_>>();
    // fsconfig(2) gives one layer at a time.
    assert_eq!(
        found("lowerdir+=/a,lowerdir+=/b\\072c,datadir+=/d,upperdir=/u,workdir=/w"),
        (places(&["/a", "/b:c", "/d", "/u"]), false)
    );
    assert_eq!(found("lowerdir=/a\\134:b:/c::/d\\054e"), (places(&["/a:b", "/c", "/d,e"]), false));
    for relative in
        ["lowerdir=/a,upperdir=up,workdir=w", "lowerdir=low", "lowerdir=/a:low:/b", "lowerdir+=low"]
    {
        assert!(found(relative).1, "{relative}");
    }
    // The workdir shows nothing.
    assert_eq!(found("lowerdir=/a,upperdir=/u,workdir=w"), (places(&["/a", "/u"]), false));
}

#[test]
fn layers_may_be_overlays_and_mounted_over() {
    let text = format!(
        "{TEXT}50 27 0:70 / /one rw - overlay o rw,lowerdir=/l1,upperdir=/up1,workdir=/w1
51 27 0:71 / /two rw - overlay o rw,lowerdir=/one/low,upperdir=/up2,workdir=/w2
52 27 0:72 /in /pool rw - overlay o rw,lowerdir=/pool/low,upperdir=/pool/up,workdir=/pool/w
53 27 0:73 / /loop rw - overlay o rw,lowerdir=/ring,upperdir=/u
54 27 0:74 / /ring rw - overlay o rw,lowerdir=/loop,upperdir=/v
"
    );
    let table = MountTable::parse(&text);
    let names = |id, path| {
        table.layers(id, path).iter().map(|place| place.as_str().to_owned()).collect::<Vec<String>>()
    };
    let two = names(51, "/two/x");
    for place in ["/0:70/low/x", "/254:0/l1/low/x", "/254:0/up1/low/x", "/254:0/up2/x"] {
        assert!(two.iter().any(|one| one == place), "{place}: {two:?}");
    }
    // The overlay lies over its own layers.
    let pool = names(52, "/pool/n");
    assert_eq!(pool, ["/254:0/pool/low/in/n", "/254:0/pool/up/in/n"]);
    assert!(!names(53, "/loop/x").is_empty(), "it ends");
    // Nothing that is mounted here leads to the layers of a container's root.
    let table = MountTable::parse("1 0 0:9 / / rw - overlay o rw,lowerdir=/l,upperdir=/u\n");
    assert_eq!((table.layers(1, "/x"), table.with_unknown_layers(1, "/x")), (Vec::new(), None));
}

#[test]
fn a_table_longer_than_one_page_is_read_whole() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = |id: usize| format!("{id} 1 0:{id} / /m{id} rw - tmpfs none rw\n");
    std::fs::write(file.path(), (1..9000).map(line).collect::<String>()).unwrap();
    assert_eq!(MountTable::read_at(file.path()).unwrap().entries().len(), 8999);
}
