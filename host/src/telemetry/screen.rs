//! Standard error, and the one thread that writes to it. Whoever logs hands a line over and goes on: a reader that is
//! slow, stuck or gone, a full disk, a terminal that was stopped cost lines, which are counted, and nothing else. So no
//! thread that must act (signals, deadline, tasks, commits) depends on anybody reading.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::bar::{Bar, Drawn};

/// What may wait to be written. What comes while it is full is lost.
const WAITING_BYTES: usize = 8 << 20;
/// How often a descriptor is tried again that somebody made non-blocking.
const AGAIN: Duration = Duration::from_millis(10);
/// The counter of lost lines.
const LOST: &str = "weir_log_lines_lost_total";

/// Standard error. Clones share it.
#[derive(Debug, Clone)]
pub struct Screen(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    is_served: AtomicBool,
    /// There is something to write.
    more: Condvar,
    /// Everything was written, or lost.
    settled: Condvar,
    /// How the loss of lines is said.
    notice: fn(u64) -> String,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Desk {
    lines: VecDeque<Vec<u8>>,
    /// Of all lines that wait.
    bytes: usize,
    /// The thread is at a line or at the bar.
    is_writing: bool,
    /// What the bar should show, and whether it shows something else.
    bar: Option<Bar>,
    is_bar_stale: bool,
    lost: u64,
    /// How many of those a notice told of.
    told: u64,
}

/// What the thread does next.
enum Next {
    Line(Vec<u8>),
    Bar(Option<Bar>),
}

impl Screen {
    /// Starts the thread that writes to `out`. `notice` says how many lines were lost.
    pub(super) fn start(out: impl Write + Send + 'static, notice: fn(u64) -> String) -> Self {
        let (desk, is_served) = (Mutex::default(), AtomicBool::new(false));
        let shared = Shared { desk, is_served, more: Condvar::new(), settled: Condvar::new(), notice };
        let screen = Self(Arc::new(shared));
        let shared = Arc::clone(&screen.0);
        let started = weir_machine::spawn("weir-stderr", move || shared.work(out));
        screen.0.is_served.store(started.is_ok(), Ordering::Release);
        screen
    }

    /// Whether there is a thread; a process may be refused one.
    pub(super) fn is_served(&self) -> bool {
        self.0.is_served.load(Ordering::Acquire)
    }

    /// Hands a line over. Never waits for whoever reads; a line for which there is no room is lost.
    pub(super) fn line(&self, line: &[u8]) {
        let lost = self.0.lock().take(line);
        match lost {
            None => self.0.more.notify_one(),
            Some(lost) => metrics::counter!(LOST).absolute(lost),
        }
    }

    /// The same for a line that comes once and last: there is always room for it.
    pub(super) fn last_line(&self, line: &[u8]) {
        self.0.lock().push(line);
        self.0.more.notify_one();
    }

    /// What the progress bar shows from now on; `None`: there is none.
    pub(crate) fn show_bar(&self, bar: Option<Bar>) {
        let mut desk = self.0.lock();
        desk.bar = bar;
        desk.is_bar_stale = true;
        self.0.more.notify_one();
    }

    /// Waits until everything is written or lost, but not for longer than `patience`.
    pub(super) fn settle(&self, patience: Duration) {
        let deadline = weir_machine::now() + patience;
        let mut desk = self.0.lock();
        while self.is_served() && !desk.is_settled() {
            let Some(left) = deadline.checked_duration_since(weir_machine::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            desk = self.0.settled.wait_timeout(desk, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lines lost so far go to the recorder, for one that was installed after they were.
    pub(crate) fn count_lost(&self) {
        metrics::describe_counter!(LOST, "Log lines that could not be written, or that nobody read in time");
        let lost = self.0.lock().lost;
        metrics::counter!(LOST).absolute(lost);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread. It may be stuck in a write for ever; nobody joins it.
    fn work(&self, mut out: impl Write) {
        let (mut drawn, mut is_torn) = (Drawn::default(), false);
        loop {
            let next = self.next();
            let lost = match next {
                Next::Bar(bar) => {
                    drawn.show(bar);
                    None
                }
                Next::Line(line) => Some(drawn.beside(|| write_line(&mut out, &line, &mut is_torn)).is_err()),
            };
            let mut desk = self.lock();
            desk.is_writing = false;
            match lost {
                Some(true) => desk.lost += 1,
                Some(false) => self.tell(&mut desk),
                None => {}
            }
            let lost = lost.unwrap_or_default().then_some(desk.lost);
            if desk.is_settled() {
                self.settled.notify_all();
            }
            drop(desk);
            // Counting may run anybody's code, so it happens outside of the lock.
            if let Some(lost) = lost {
                metrics::counter!(LOST).absolute(lost);
            }
        }
    }

    /// Waits for something to do. The bar comes first: what ends it is followed by lines that must not run through it.
    fn next(&self) -> Next {
        let mut desk = self.lock();
        loop {
            if desk.is_bar_stale {
                desk.is_bar_stale = false;
                desk.is_writing = true;
                return Next::Bar(desk.bar.clone());
            }
            if let Some(line) = desk.lines.pop_front() {
                desk.bytes -= line.len();
                desk.is_writing = true;
                return Next::Line(line);
            }
            desk = self.more.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says how many lines were lost, once a line could be written again and none waits before the notice.
    fn tell(&self, desk: &mut Desk) {
        if desk.lost > desk.told && desk.lines.is_empty() {
            let notice = (self.notice)(desk.lost - desk.told);
            desk.told = desk.lost;
            desk.push(notice.as_bytes());
        }
    }
}

impl Desk {
    fn push(&mut self, line: &[u8]) {
        self.bytes += line.len();
        self.lines.push_back(line.to_vec());
    }

    /// Puts `line` with the others, or loses it: then, how many were lost so far.
    fn take(&mut self, line: &[u8]) -> Option<u64> {
        if self.bytes + line.len() > WAITING_BYTES {
            self.lost += 1;
            return Some(self.lost);
        }
        self.push(line);
        None
    }

    fn is_settled(&self) -> bool {
        self.lines.is_empty() && !self.is_bar_stale && !self.is_writing
    }
}

/// Writes one line. One that came through in part is ended before the next, so that the two do not run together.
fn write_line(out: &mut impl Write, line: &[u8], is_torn: &mut bool) -> io::Result<()> {
    if *is_torn {
        write_whole(out, b"\n", &mut false)?;
        *is_torn = false;
    }
    write_whole(out, line, is_torn)
}

fn write_whole(out: &mut impl Write, mut bytes: &[u8], is_torn: &mut bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                *is_torn = !bytes.is_empty();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Who shares the descriptor made it non-blocking. This thread may wait.
            Err(error) if error.kind() == ErrorKind::WouldBlock => weir_machine::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// Takes one formatted line in one write, as the subscriber hands it over. It never fails: the subscriber would complain
/// on standard error itself, and panic where that fails too.
#[derive(Debug)]
pub struct LineWriter<'a>(&'a Screen);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// A writer that does what the test says, write by write: a number of bytes, or an error.
    struct Scripted {
        script: Receiver<io::Result<usize>>,
        seen: SyncSender<Vec<u8>>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let result = self.script.recv().unwrap_or(Ok(usize::MAX)).map(|n| n.min(bytes.len()));
            if let Ok(taken) = result {
                self.seen.send(bytes[..taken].to_vec()).unwrap();
            }
            result
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted() -> (Screen, SyncSender<io::Result<usize>>, Receiver<Vec<u8>>) {
        let (write, script) = sync_channel(1 << 16);
        let (seen, shown) = sync_channel(1 << 16);
        let notice = |lost| format!("lost {lost}\n");
        (Screen::start(Scripted { script, seen }, notice), write, shown)
    }

    fn written(shown: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(shown.try_iter().flatten().collect()).unwrap()
    }

    #[test]
    fn lines_come_out_in_order_and_whole() {
        let (screen, write, shown) = scripted();
        let error = |kind: ErrorKind| Err(kind.into());
        let script = [Ok(1), error(ErrorKind::Interrupted), error(ErrorKind::WouldBlock), Ok(2), Ok(9), Ok(9)];
        script.into_iter().for_each(|result| write.send(result).unwrap());
        for line in ["one\n", "two\n"] {
            screen.line(line.as_bytes());
        }
        drop(write);
        screen.settle(SOON);
        assert_eq!(written(&shown), "one\ntwo\n");
        assert_eq!(screen.0.lock().lost, 0);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_told_of_later() {
        for kind in [ErrorKind::BrokenPipe, ErrorKind::StorageFull] {
            let (screen, write, shown) = scripted();
            // The second line breaks off after two bytes, the third cannot even end it.
            for result in [Ok(9), Ok(2), Err(kind.into()), Err(kind.into())] {
                write.send(result).unwrap();
            }
            drop(write);
            for line in ["one\n", "two\n", "three\n", "four\n"] {
                screen.line(line.as_bytes());
            }
            screen.settle(SOON);
            assert_eq!(written(&shown), "one\ntw\nfour\nlost 2\n");
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let (screen, write, shown) = scripted();
        let line = vec![b'x'; 64 << 10];
        let began = Instant::now();
        let lines = 2 * WAITING_BYTES / line.len();
        for _ in 0..lines {
            screen.line(&line);
        }
        screen.last_line(b"error\n");
        screen.settle(Duration::from_millis(50));
        assert!(began.elapsed() < SOON);
        let lost = screen.0.lock().lost;
        assert!(lost >= (lines / 2 - 1) as u64 && lost < lines as u64, "{lost} of {lines}");
        assert!(screen.0.lock().bytes <= WAITING_BYTES + 6);
        // It reads again: what waited comes, the last line too, and how much is missing.
        drop(write);
        screen.settle(SOON);
        let shown = written(&shown);
        assert!(shown.ends_with(&format!("xerror\nlost {lost}\n")), "{}", &shown[shown.len() - 40..]);
    }
}
