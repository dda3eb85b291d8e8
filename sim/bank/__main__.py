from sim.bank.cli import main

main()
