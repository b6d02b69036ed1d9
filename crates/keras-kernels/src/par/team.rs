//! Threads that help with one job at a time, and stay awake for a moment after it.
//!
//! Waking a thread takes as long as a hundred thousand multiplications, on virtual machines a million, and kernels follow each
//! other closely. So the caller of a job starts on it at once, who is awake helps, and nobody waits for one who still sleeps.

use std::any::Any;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Threads, locked};

/// How long a helper waits for the next job before it sleeps: longer than what lies between two kernels of a model.
const AWAKE: Duration = Duration::from_micros(300);

thread_local! {
    /// The threads that are not everybody's: inside [`with`] and [`on`], and on helpers.
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };

    /// Whether this thread is at work on a job. Nobody helps with jobs within it.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

#[derive(Clone)]
enum Own {
    Team(Arc<Team>),
    Theirs(&'static dyn Threads),
}

/// Everybody's team: `KERAS_THREADS`, or a thread a core.
fn global() -> &'static Arc<Team> {
    static TEAM: OnceLock<Arc<Team>> = OnceLock::new();
    TEAM.get_or_init(|| {
        let wanted = std::env::var("KERAS_THREADS").ok().and_then(|v| v.trim().parse().ok());
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Team::start(wanted.filter(|&n| n > 0).unwrap_or_else(cores)).0
    })
}

/// How many threads work on a job of this thread, with itself.
pub(super) fn threads() -> usize {
    match OWN.with_borrow(Option::clone) {
        _ if BUSY.get() => 1,
        Some(Own::Team(own)) => own.size,
        Some(Own::Theirs(threads)) => threads.count(),
        None => global().size,
    }
}

/// Runs `job` on this thread and at the same time on up to `helpers` others; they share its work by themselves.
pub(super) fn run(helpers: usize, job: &(dyn Fn() + Sync)) {
    match OWN.with_borrow(Option::clone) {
        Some(Own::Team(own)) => own.run(helpers, job),
        Some(Own::Theirs(threads)) if helpers > 0 && !BUSY.get() => threads.run(helpers, &|| {
            let _busy = Busy::new();
            job();
        }),
        Some(Own::Theirs(_)) => job(),
        None => global().run(helpers, job),
    }
}

/// Says that this thread is at work on a job, as long as it lives.
struct Busy;

impl Busy {
    fn new() -> Self {
        BUSY.set(true);
        Busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}

/// Runs `op` with `own` as the threads of this one.
fn owning<R>(own: Own, op: impl FnOnce() -> R) -> R {
    struct Before(Option<Own>);
    impl Drop for Before {
        fn drop(&mut self) {
            OWN.set(self.0.take());
        }
    }
    let _before = Before(OWN.replace(Some(own)));
    op()
}

/// Runs `op` on somebody else's threads.
pub(super) fn on<R>(threads: &'static dyn Threads, op: impl FnOnce() -> R) -> R {
    owning(Own::Theirs(threads), op)
}

/// Runs `op` with a team of `size` threads, this one among them (fewer where they cannot be started).
pub(super) fn with<R>(size: usize, op: impl FnOnce() -> R) -> R {
    struct Leave(Arc<Team>, Vec<JoinHandle<()>>);
    impl Drop for Leave {
        fn drop(&mut self) {
            self.0.over.store(true, Ordering::SeqCst);
            drop(locked(&self.0.sleep));
            self.0.wake.notify_all();
            for helper in self.1.drain(..) {
                // A helper catches the panics of jobs, and hands them on to their callers.
                drop(helper.join());
            }
        }
    }
    let (team, helpers) = Team::start(size);
    let _leave = Leave(team.clone(), helpers);
    owning(Own::Team(team), op)
}

#[derive(Default)]
struct Team {
    /// The caller of a job and its helpers.
    size: usize,
    /// Whether somebody has a job here; others then do theirs alone.
    taken: AtomicBool,
    /// From the highest bits: the job's number, how many more helpers may enter, how many are inside.
    state: AtomicU64,
    job: Job,
    /// Helpers that sleep, or are about to.
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    /// Whether helpers are to end.
    over: AtomicBool,
    /// What a helper panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const SEAT: u64 = 1 << 16;
const NUMBER: u64 = 1 << 32;
const INSIDE: u64 = SEAT - 1;
const SEATS: u64 = NUMBER - SEAT;

#[derive(Default)]
struct Job(UnsafeCell<Option<&'static (dyn Fn() + Sync)>>);

// SAFETY: it is written only by who has `taken` the team while nobody is inside and nobody may enter, and read only from
// inside.
unsafe impl Sync for Job {}

impl Team {
    fn start(size: usize) -> (Arc<Team>, Vec<JoinHandle<()>>) {
        // A job's seats have 16 bits.
        let size = size.clamp(1, SEAT as usize);
        let mut team = Team { size, ..Team::default() };
        if cfg!(target_family = "wasm") {
            team.size = 1;
        }
        let team = Arc::new(team);
        let start = |i| {
            let team = team.clone();
            let work = move || {
                OWN.set(Some(Own::Team(team.clone())));
                BUSY.set(true);
                team.help();
            };
            std::thread::Builder::new().name(format!("keras-{i}")).spawn(work).ok()
        };
        let helpers = (1..team.size).map_while(start).collect();
        (team, helpers)
    }

    fn run(&self, helpers: usize, job: &(dyn Fn() + Sync)) {
        let seats = helpers.min(self.size - 1) as u64;
        if seats == 0 || BUSY.get() || self.taken.swap(true, Ordering::Acquire) {
            return job();
        }
        // SAFETY: only the lifetime changes. Who calls the job is inside, and before this function returns or unwinds,
        // `Closing` lets nobody in any more and waits until nobody is inside.
        let lasting = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(job) };
        // SAFETY: this caller has taken the team, nobody is inside, and nobody may enter.
        unsafe { *self.job.0.get() = Some(lasting) };
        let number = self.state.load(Ordering::Relaxed) / NUMBER + 1;
        self.state.store(number.wrapping_mul(NUMBER) | (seats * SEAT), Ordering::SeqCst);
        let closing = Closing(self);
        self.wake_one();
        let busy = Busy::new();
        job();
        drop((busy, closing));
    }

    /// Wakes a helper that sleeps, if any does. Those that enter wake others in turn: nobody has to wake all.
    fn wake_one(&self) {
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(locked(&self.sleep));
            self.wake.notify_one();
        }
    }

    /// Helps with one job after the other.
    fn help(&self) {
        let mut done = 0;
        while !self.over.load(Ordering::SeqCst) {
            let since = Instant::now();
            while since.elapsed() < AWAKE && !self.help_with_one(&mut done) {
                (0..8).for_each(|_| std::hint::spin_loop());
            }
            if since.elapsed() >= AWAKE {
                self.doze(done);
            }
        }
    }

    /// Whether there is a job that this helper, who was in number `done`, may enter.
    fn invites(&self, state: u64, done: u64) -> bool {
        state & SEATS != 0 && state / NUMBER != done
    }

    fn help_with_one(&self, done: &mut u64) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let entered = state.wrapping_sub(SEAT).wrapping_add(1);
        if !self.invites(state, *done)
            || self.state.compare_exchange(state, entered, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return false;
        }
        *done = state / NUMBER;
        if entered & SEATS != 0 {
            self.wake_one();
        }
        // SAFETY: this helper is inside, so that the job was set before and is not changed.
        if let Some(job) = unsafe { *self.job.0.get() }
            && let Err(panic) = catch_unwind(AssertUnwindSafe(job))
        {
            *locked(&self.panic) = Some(panic);
        }
        self.state.fetch_sub(1, Ordering::Release);
        true
    }

    /// Sleeps until there is a job.
    fn doze(&self, done: u64) {
        let mut guard: MutexGuard<'_, ()> = locked(&self.sleep);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        // Whoever opens a job after this look finds this helper asleep, and wakes it when the lock is free.
        while !self.invites(self.state.load(Ordering::SeqCst), done) && !self.over.load(Ordering::SeqCst) {
            guard = self.wake.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends a job, also where it panics.
struct Closing<'a>(&'a Team);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let team = self.0;
        team.state.fetch_and(!SEATS, Ordering::Relaxed);
        let mut rounds = 0u32;
        while team.state.load(Ordering::Acquire) & INSIDE != 0 {
            rounds = rounds.wrapping_add(1);
            // A helper may have lost its core to another program.
            if rounds.is_multiple_of(1024) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        let panic = locked(&team.panic).take();
        team.taken.store(false, Ordering::Release);
        if let Some(panic) = panic
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
