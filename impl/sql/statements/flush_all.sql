SELECT :"schema".flush_all()
