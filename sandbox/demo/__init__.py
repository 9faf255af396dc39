"""The demo: the whole product against real servers on this machine, from request to settled and reconciled money.

`python -m sandbox.demo` plays the sample returns and ends by itself; `--stay` keeps everything running. The demo starts
the product as processes and speaks to it over HTTP; it shares no code with it.
"""
