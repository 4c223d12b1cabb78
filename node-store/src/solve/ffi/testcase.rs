//! libsolv's own test cases: texts that name repositories, jobs and the expected answer.

use std::ffi::{c_char, c_int};
use std::path::Path;

use super::pool::{Pool, SolvError, owned, text};
use super::queue::Queue;
use super::raw;

unsafe extern "C" {
    // solv/testcase.h, which libsolv-sys does not bind; libsolvext holds it.
    fn testcase_read(
        pool: *mut raw::Pool,
        stream: *mut libc::FILE,
        testcase: *const c_char,
        job: *mut raw::Queue,
        result: *mut *mut c_char,
        result_flags: *mut c_int,
    ) -> *mut raw::Solver;
    fn testcase_solverresult(solver: *mut raw::Solver, flags: c_int) -> *mut c_char;
}

/// What of an answer is told when the file does not say: transaction and problems.
const TRANSACTION_AND_PROBLEMS: c_int = 1 | 2;

/// Reads a test case and solves it: the answer, and the one that the file expects if it has one.
pub(crate) fn solve_testcase(path: &Path) -> Result<(String, Option<String>), SolvError> {
    let pool = Pool::new("noarch");
    let shown = path.display().to_string();
    let name = text(&shown);
    let mut jobs = Queue::new();
    let (mut expected, mut flags) = (std::ptr::null_mut(), 0);
    // SAFETY: the pool, the queue and both places outlive the call; a null stream lets libsolv open the
    // file itself.
    let solver = unsafe {
        testcase_read(
            pool.raw(),
            std::ptr::null_mut(),
            name.as_ptr(),
            jobs.as_mut(),
            &mut expected,
            &mut flags,
        )
    };
    if solver.is_null() {
        pool.done(1, || shown)?;
    }
    let flags = if flags == 0 { TRANSACTION_AND_PROBLEMS } else { flags };
    // SAFETY: the solver is alive until it is freed here; both texts are allocated for the caller.
    let (answer, expected) = unsafe {
        raw::solver_solve(solver, jobs.as_mut());
        let answer = testcase_solverresult(solver, flags);
        raw::solver_free(solver);
        let texts = (owned(answer), (!expected.is_null()).then(|| owned(expected)));
        libc::free(answer.cast());
        libc::free(expected.cast());
        texts
    };
    Ok((answer, expected))
}
