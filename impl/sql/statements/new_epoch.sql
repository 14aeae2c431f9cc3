SELECT :"schema".new_epoch()
