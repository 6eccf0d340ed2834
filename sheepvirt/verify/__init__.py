"""Does it work, and can each check fail?"""
