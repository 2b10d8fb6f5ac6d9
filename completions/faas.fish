complete --keep-order --exclusive --command faas --arguments "(COMPLETE=fish faas -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
