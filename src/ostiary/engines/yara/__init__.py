"""YARA rules, run by YARA-X in scan processes of ours."""
