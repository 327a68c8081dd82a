"""Looking again at the top few: the language-model client, prompts and choices among offered ids."""
