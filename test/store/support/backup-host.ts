/** Makes a backup in a process of its own, and says so after each file: to be killed in the middle. */
import { createBackup, openVault } from '../../../src/store/index.ts'

const [home, directory, passphrase] = process.argv.slice(2)
if (home !== undefined && directory !== undefined && passphrase !== undefined) {
  const vault = await openVault(directory, passphrase, { create: true, cost: 1 << 10 })
  const progress = (files: number): void => void process.stdout.write(`${files}\n`)
  await createBackup(vault, { home, peer: 'peer', wall: 2e12, version: '0', progress })
  process.stdout.write('done\n')
}
