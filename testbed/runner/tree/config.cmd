@echo off
echo The stand-in runner is for Linux.
exit /b 1
