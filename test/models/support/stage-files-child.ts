/** Makes the files of all decoder blocks, again and again. Arguments: folder of the store, of the cache, manifest file. */
import { readFile } from 'node:fs/promises'
import { stageFiles } from '../../../src/models/index.ts'
import type { ModelManifest } from '../../../src/models/index.ts'
import { createOrtEngine } from '../../../src/onnx/index.ts'
import { createBlobStore } from '../../../src/store/index.ts'

const [storeDirectory, directory, manifestPath] = process.argv.slice(2) as [string, string, string]
const store = await createBlobStore({ directory: storeDirectory, readOnly: true })
const manifest = JSON.parse(await readFile(manifestPath, 'utf8')) as ModelManifest
process.stdout.write('begins\n')
await stageFiles({ store, directory, engine: createOrtEngine() }, manifest).decoder(1, manifest.shape.layers + 1, 1)
process.stdout.write('made\n')
