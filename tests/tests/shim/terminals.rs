//! Containers and further processes with a terminal.

use red_tests::terminal::Terminal;

use crate::{assert_no_leftovers, for_each_rootfs, setup};

/// Asks for the size until it is this: it takes its way through ctr, which does not listen from the start,
/// containerd and the shim.
fn is_sized(terminal: &mut Terminal, columns: u16, rows: u16) {
    for _ in 0..200 {
        terminal.resize(columns, rows);
        terminal.send("go\n");
        terminal.expect("got go\n");
        if terminal.expect("\n").contains(&format!("{rows} {columns}")) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it never has {columns} columns and {rows} rows");
}

#[test]
fn run_and_exec_with_a_terminal() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        let script =
            "stty -echo; tty; while read word; do echo got $word; stty size; [ $word = go ] || exit 9; done";
        let shell = ["/usr/bin/sh", "-c", script];
        let mut terminal =
            Terminal::spawn(containerd.run_command(&["--rm", "-t"], root, id, &shell), 100, 30);
        terminal.expect("/dev/");
        is_sized(&mut terminal, 100, 30);
        is_sized(&mut terminal, 91, 41);
        let exec = containerd.command(&["task", "exec", "-t", "--exec-id", "x", id, "/usr/bin/sh", "-c",
            "stty -echo; while read word; do echo got $word; stty size; [ $word = go ] || break; done; echo $word >/dev/tty; seq 1 20000; exit 8"]);
        let mut second = Terminal::spawn(exec, 77, 22);
        is_sized(&mut second, 77, 22);
        second.send("typed\n");
        second.expect("got typed\n");
        second.expect("22 77\n");
        second.expect("typed\n");
        let (code, rest) = second.wait();
        let numbers: String = (1..=20000).map(|number| format!("{number}\n")).collect();
        assert_eq!((code, rest.len(), rest == numbers), (8, numbers.len(), true));
        terminal.send("stop\n");
        terminal.expect("got stop");
        assert_eq!(terminal.wait().0, 9);
    });
    assert_no_leftovers(&containerd);
}

#[test]
fn a_terminal_is_left_and_found_again() {
    let Some((stage, containerd)) = setup() else { return };
    for_each_rootfs(&stage, |root, id| {
        let script = "stty -echo; while read word; do echo got $word; [ $word != end ] || exit 2; done";
        let shell = ["/usr/bin/sh", "-c", script];
        let run = Terminal::spawn(containerd.run_command(&["-d", "-t"], root, id, &shell), 80, 24);
        assert_eq!(run.wait().0, 0);
        for word in ["one", "two"] {
            let mut terminal = Terminal::spawn(containerd.command(&["task", "attach", id]), 80, 24);
            terminal.send(&format!("{word}\n"));
            terminal.expect(&format!("got {word}"));
        }
        let mut terminal = Terminal::spawn(containerd.command(&["task", "attach", id]), 80, 24);
        // ctr opens the streams one after another: a process that ends before the output is open has no writer any more,
        // and ctr gives up opening.
        terminal.send("three\n");
        terminal.expect("got three");
        terminal.send("end\n");
        terminal.expect("got end");
        // It removes the task, too.
        assert_eq!(terminal.wait().0, 2);
        containerd.remove(id);
    });
    assert_no_leftovers(&containerd);
}
