"""Where the plug-in keeps files: its working folder, and S3's objects in it."""
