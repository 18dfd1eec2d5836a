/** Begins an import and stands still in the middle of a tensor, so that it can be killed there. Arguments: home, file. */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { importModel } from '../../../src/models/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'

const [home, source] = process.argv.slice(2) as [string, string]
const store = await createBlobStore({ directory: join(home, 'store') })
const needs = { store, clock: systemClock(), directory: join(home, 'partitions'), downloads: join(home, 'downloads') }
let steps = 0
await importModel(needs, { source }, () => {
  if (++steps < 6) return
  writeSync(1, 'in the middle\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
