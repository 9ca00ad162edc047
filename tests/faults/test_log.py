"""A trial's output cannot fill the disk."""

from nbtune.workers.triallog import LOG_LIMIT, shorten

GIGABYTE = 10**9


def test_of_a_gigabyte_of_output_the_beginning_and_the_end_are_kept(beside, tmp_path):
    largest = []

    def fault():
        print("the first line", flush=True)
        line = "x" * 9_999
        for _ in range(GIGABYTE // 10_000):
            print(line)
        print("the last line", flush=True)
        return 1.0

    def meanwhile(sweep):
        log = sweep.path / "1" / "log.txt"
        while not sweep.wait(timeout=0.01):
            largest.append(log.stat().st_blocks * 512 if log.exists() else 0)

    scene = beside(fault, meanwhile=meanwhile)

    log = (scene.fault.dir / "log.txt").read_bytes()
    assert scene.fault.status == "completed"
    assert log.startswith(b"the first line\n")
    assert log.endswith(b"the last line\n")
    assert b" bytes of output left out ...]" in log
    assert len(log) <= LOG_LIMIT
    # It is looked at ten times a second: that is some ten megabytes more, on a busy machine more.
    assert max(largest) < 0.5 * GIGABYTE


def write(path, size):
    with path.open("ab") as log:
        log.write(b"0123456789ABCDE\n" * (size // 16))


def test_a_log_within_the_limit_is_left_alone(tmp_path):
    log = tmp_path / "log.txt"
    write(log, 2**22)

    shorten(str(log), 2**22)

    assert log.stat().st_size == 2**22


def test_a_log_cut_twice_tells_all_that_is_missing(tmp_path):
    log = tmp_path / "log.txt"
    for _ in range(2):
        write(log, 2**23)
        shorten(str(log), 2**22)

    text = log.read_bytes()

    gap = text[2**20 : text.index(b"]\n", 2**20) + 2]
    assert gap == b"\n[... %d bytes of output left out ...]\n" % (2**24 - 2 * 2**20)
    assert len(text) == 2 * 2**20 + len(gap)


def test_a_file_of_the_users_own_is_never_cut(tmp_path):
    table = tmp_path / "table.csv"
    write(table, 2**23)

    shorten(str(table), 2**22)

    assert table.stat().st_size == 2**23
