# Imports the modules named by the arguments, in order, and reports each result
# on descriptor 4 as NUL-separated fields. Then it waits there until it is told
# to end, so that threads and children can be watched, and leaves through atexit.
import os
import sys


def main():
    conversation = 4
    os.set_inheritable(conversation, False)
    modules, sys.argv[1:] = sys.argv[1:], []

    def say(*fields):
        line = "\0".join(fields).replace("\n", " ")
        os.write(conversation, line.encode("utf-8", "backslashreplace") + b"\n")

    for module in modules:
        try:
            __import__(module)
        except BaseException as error:  # a package may raise SystemExit as well
            say("error", module, type(error).__name__ + ": " + str(error)[:400])
        else:
            say("ok", module)
    say("done")
    os.read(conversation, 1)


main()
