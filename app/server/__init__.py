"""What all visitors share: models, cached captures, the queue for the models, files. Nothing here belongs to one."""
