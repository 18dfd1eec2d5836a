/** Begins a split and stands still while it packs, so that it can be killed there. Arguments: home, model, out. */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { languageModel, loadManifest, splitModelFiles } from '../../../src/models/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'

const [home, model, out] = process.argv.slice(2) as [string, string, string]
const store = await createBlobStore({ directory: join(home, 'store') })
const manifest = (await loadManifest(join(home, 'partitions'), model))!
let steps = 0
await splitModelFiles({ store, engine: createOrtEngine }, { manifest: languageModel(manifest), out, parts: 3 }, () => {
  if (++steps < 4) return
  writeSync(1, 'in the middle\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
