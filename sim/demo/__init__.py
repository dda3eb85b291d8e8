"""The main job, played by real processes: pay offline, be interrupted, cheat, be found."""
