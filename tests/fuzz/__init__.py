"""Whatever is read is read, or refused with a documented error: any bytes, and recorded answers, damaged.

A few seconds of it are a test (tests/unit/test_fuzz.py); ``make fuzz`` goes on for as long as one likes.
"""
