/** Runs the guarded program and tells its process id, to be killed over it. Arguments: mode, folder. */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { runGuarded, systemClock } from '../../../src/util/index.ts'

const [mode, folder] = process.argv.slice(2) as [string, string]
let child = 0
await runGuarded(
  { clock: systemClock() },
  {
    program: join(import.meta.dirname, 'guarded.ts'),
    input: { mode },
    memory: 1 << 29,
    silence: 600_000,
    codeCache: join(folder, 'code'),
    onStart: (pid) => (child = pid),
    onEvent: () => writeSync(1, `${child}\n`),
  },
)
