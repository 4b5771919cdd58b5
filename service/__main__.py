import signal
import sys

if __name__ == "__main__":
    # Until a command handles Ctrl-C, it ends the process in silence, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the Makefile blocks it

    from service.cli.main import main

    sys.exit(main())
