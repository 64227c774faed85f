"""Runs a program on a terminal of its own and follows a script.

Arguments: the script as a JSON list of steps, then the program and its arguments. A step is ["see", text]: wait until
the program has printed it; ["type", keys]; ["fetch", url]: wait for the answer to a GET; or ["end", code]: wait for the
program's end.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import urllib.request

PATIENCE_SECONDS = 60


def main(steps, command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", NO_COLOR="1")
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    printed = b""
    for step, argument in steps:
        if step == "see":
            printed = see(terminal, printed, argument.encode())
        elif step == "type":
            os.write(terminal, argument.encode())
        elif step == "fetch":
            urllib.request.urlopen(argument, timeout=PATIENCE_SECONDS).read()
        elif step == "end":
            while read(terminal):
                pass
            os.close(terminal)  # ends a program that does not end by itself
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code != argument:
                sys.exit(f"the program ended with {code}")
        else:
            sys.exit(f"there is no step {step}")


def see(terminal, printed, text):
    """What was printed behind `text`."""
    while text not in printed:
        more = read(terminal)
        if not more:
            sys.exit(f"{text!r} was not printed, but {printed!r}")
        printed += more
    return printed.split(text, 1)[1]


def read(terminal):
    """What is printed next; nothing at the program's end, or if it prints nothing for too long."""
    ready, _, _ = select.select([terminal], [], [], PATIENCE_SECONDS)
    try:
        return os.read(terminal, 4096) if ready else b""
    except OSError:
        return b""


main(json.loads(sys.argv[1]), sys.argv[2:])
