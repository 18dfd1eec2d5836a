/** All benchmarks, one after the other: `npm run bench -- [MODEL.gguf]`. Each measures both sides in its own run. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const own = import.meta.dirname
const model = process.argv.slice(2)

for (const file of readdirSync(own)
  // The promises take hours, and name what they run; faults have seeds.
  .filter((name) => name.endsWith('.ts') && !['all.ts', 'faults.ts', 'promises.ts'].includes(name))
  .toSorted()) {
  process.stdout.write(`\n# ${file}\n\n`)
  const takesModel = ![
    'fed-round.ts',
    'graph-cut.ts',
    'hop.ts',
    'import.ts',
    'join.ts',
    'kernels.ts',
    'membership.ts',
    'net-channel.ts',
    'pipeline.ts',
    'plan.ts',
    'private-step.ts',
    'secagg.ts',
    'start.ts',
    'swarm.ts',
    'train-shared.ts',
    'training.ts',
  ].includes(file)
  const { status } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(own, file), ...(takesModel ? model : [])],
    { stdio: 'inherit' },
  )
  if (status !== 0) process.exitCode = 1
}
