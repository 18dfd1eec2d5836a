/** Which files of models a peer may have: those of models that a rule names, adapters as their base model. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { manifestFileName, partSize, writeAdapter } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { Adapters } from '../../src/peer/adapters.ts'
import { addresses } from '../../src/peer/library.ts'
import { fileGate } from '../../src/peer/site-gates.ts'
import { createBlobStore } from '../../src/store/index.ts'
import type { BlobStore } from '../../src/store/index.ts'
import { decide, newIdentity, readPolicy } from '../../src/trust/index.ts'
import { randomModel } from '../pipeline/support/random-model.ts'

const [FRIEND, OTHER] = [newIdentity().id, newIdentity().id]

let home: string
let store: BlobStore
let manifest: ModelManifest
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'weft-files-'))
  store = await createBlobStore({ directory: join(home, 'store') })
  manifest = await randomModel(store, { type: 'F32' })
})
afterAll(() => rm(home, { recursive: true }))

test('an adapter goes to whom its base model may go, and to nobody else', async () => {
  const { model, shape } = manifest
  const adapters = new Adapters(home, store)
  const value = (_layer: number, _part: string, factor: string): Float32Array =>
    new Float32Array(partSize(shape, 'q')[factor === 'a' ? 'inputs' : 'outputs'])
  const folder = join(home, 'adapters', manifestFileName(model).replace('.json', ''), 'mine')
  await mkdir(folder, { recursive: true })
  await writeAdapter(folder, shape, model, {
    kind: 'lora',
    rank: 1,
    alpha: 1,
    parts: ['q'],
    value,
  })
  const { address } = await adapters.sealed(manifest, 'mine')
  const may = (rule: object, peer = FRIEND): boolean[] => {
    const rules = [{ name: 'files', allow: ['fetch'], peers: [FRIEND], ...rule }]
    const policy = readPolicy(JSON.stringify({ schema: 'weft.policy/1', rules }), 'policy.json')
    const site = {
      hasPolicy: () => true,
      decide: (request: Parameters<typeof decide>[1]) => decide(policy, request, 0),
    }
    const gate = fileGate(
      site,
      () => [manifest],
      (wanted) => adapters.modelsOf(wanted),
    )
    const tensor = [...addresses(manifest)][0]!
    return [tensor, address, 'an-address-of-nothing'].map((each) => gate(peer, { address: each }) === true)
  }
  expect(may({ models: [model] })).toEqual([true, true, false])
  expect(may({ models: ['another'] })).toEqual([false, false, false])
  expect(may({})).toEqual([true, true, true])
  expect(may({ models: [model] }, OTHER)).toEqual([false, false, false])
})
