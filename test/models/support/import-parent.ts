/** Imports a file through a child and tells the child's process id, to be killed over it. Arguments: home, file. */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { importAnyInChild } from '../../../src/models/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'
import { systemClock } from '../../../src/util/index.ts'

const [home, source] = process.argv.slice(2) as [string, string]
const storeDirectory = join(home, 'store')
let child = 0
let told = false
await importAnyInChild(
  {
    store: await createBlobStore({ directory: storeDirectory }),
    storeDirectory,
    codeCache: join(home, 'code'),
    clock: systemClock(),
    directory: join(home, 'partitions'),
    downloads: join(home, 'downloads'),
    onChild: (event) => {
      if (event.type === 'started') child = event.pid
    },
  },
  { source },
  () => {
    if (!told) writeSync(1, `${child}\n`)
    told = true
  },
)
writeSync(1, 'imported\n')
