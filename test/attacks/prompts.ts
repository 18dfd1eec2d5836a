/**
 * E2: the prompt out of the rows that a stage is sent. Whoever holds a stage has the model too, and tries tokens until the rows
 * come out the same, bit by bit. This must succeed: it is what the documents say of whoever holds a stage. The defence is that
 * nobody holds one whom the cluster does not list, and that nothing here promises more.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openMeshNotice } from '../../src/cli/ready.ts'
import { importModel } from '../../src/models/index.ts'
import type { DecoderStage } from '../../src/pipeline/host/decoder-stage.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { newIdentity } from '../../src/trust/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { read, repositoryFiles } from '../house/repository.ts'
import { testModel, through } from '../pipeline/support/stages.ts'
import type { TestModel } from '../pipeline/support/stages.ts'
import { found } from '../trust/support/cluster.ts'
import { least, most } from './attack.ts'
import type { Attack, Outcome, Size } from './attack.ts'

const TINY = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))

/** Float16 rows of a boundary as numbers, less their mean: what a token adds to all of them says nothing. */
function centred(bytes: Uint8Array, width: number): Float32Array[] {
  const values = Float32Array.from(new Float16Array(bytes.slice().buffer))
  const rows = Array.from({ length: values.length / width }, (_, row) =>
    values.subarray(row * width, (row + 1) * width),
  )
  const mean = new Float32Array(width)
  for (const row of rows) for (const [at, value] of row.entries()) mean[at]! += value / rows.length
  return rows.map((row) => row.map((value, at) => value - mean[at]!))
}

function product(one: Float32Array, other: Float32Array): number {
  let sum = 0
  for (let at = 0; at < one.length; at++) sum += one[at]! * other[at]!
  return sum
}

interface Embedding {
  readonly row: Float32Array
  readonly length: number
}

function embeddingsOf(rows: readonly Float32Array[]): Embedding[] {
  return rows.map((row) => ({ row, length: Math.sqrt(product(row, row)) + 1e-9 }))
}

/** All tokens, those first whose embedding shows most in the row: layers add to it, and take nothing away. */
function likely(row: Float32Array, embeddings: readonly Embedding[]): number[] {
  const scores = embeddings.map((each) => product(row, each.row) / each.length)
  return embeddings.map((_, id) => id).sort((one, other) => scores[other]! - scores[one]!)
}

/** The tokens behind the rows that leave block `cut`. */
async function recovered(
  model: TestModel,
  stage: DecoderStage | undefined,
  observed: Uint8Array,
  embeddings: readonly Embedding[],
): Promise<number[]> {
  const { rowBytes, manifest } = model
  const rows = centred(observed, manifest.shape.width)
  const cache = stage?.newCache(0)
  const ids: number[] = []
  for (const [position, row] of rows.entries()) {
    const wanted = observed.subarray(position * rowBytes, (position + 1) * rowBytes)
    for (const id of likely(row, embeddings)) {
      let made = model.embed([id])
      if (stage !== undefined && cache !== undefined) {
        cache.position = position
        made = (await stage.run([{ cache, rows: made, count: 1 }]))[0]!
      }
      if (Buffer.compare(made, wanted) !== 0) continue
      ids.push(id)
      break
    }
    if (ids.length <= position) break
  }
  return ids
}

/** The least share of a prompt that comes out, over the cuts. */
async function leastRecovered(size: Size): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'weft-attack-prompts-'))
  try {
    const store = await createBlobStore({ directory: join(folder, 'store') })
    const needs = { store, directory: folder, downloads: join(folder, 'downloads'), clock: systemClock() }
    const manifest = await importModel(needs, { source: TINY, name: 'tiny', boundary: 'f16' })
    const model = testModel(store, join(folder, 'cache'), manifest)
    const { shape } = manifest
    const { cases } = JSON.parse(read('partitions/weft-tiny/reference.json')) as { cases: { prompt_ids: number[] }[] }
    const prompts = cases.slice(0, size === 'all' ? 3 : 1).map(({ prompt_ids: ids }) => ids)
    const vocabulary = Array.from({ length: shape.vocabulary }, (_, id) => id)
    const embeddings = embeddingsOf(centred(model.embed(vocabulary), shape.width))
    let least = 1
    for (let cut = 1; cut <= (size === 'all' ? shape.layers : 2); cut++) {
      const stage = cut === 1 ? undefined : await model.stage(1, cut)
      for (const ids of prompts) {
        const observed = await through(model, stage === undefined ? [] : [stage], ids, [ids.length])
        const found = await recovered(model, stage, observed, embeddings)
        least = Math.min(least, found.filter((id, at) => id === ids[at]).length / ids.length)
      }
      await stage?.release()
    }
    return least
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Whom a cluster lets hold a stage: a member, and nobody else. */
function holders(): { readonly members: number; readonly strangers: number } {
  const { cluster } = found()
  const [member, guest, stranger, removed] = [newIdentity().id, newIdentity().id, newIdentity().id, newIdentity().id]
  cluster.admit({ peer: member, name: 'm', role: 'member', site: '' })
  cluster.admit({ peer: guest, name: 'g', role: 'guest', site: '' })
  cluster.admit({ peer: removed, name: 'r', role: 'member', site: '' })
  cluster.revoke(removed, 'lost')
  const held = (peers: readonly string[]): number =>
    peers.filter((peer) => cluster.membership.admits(peer, 'stage')).length
  return { members: held([member]), strangers: held([guest, stranger, removed]) }
}

/** What would be a promise: that a prompt cannot be seen by those who compute it. */
const PROMISE =
  /\bprompts? (?:is|are|stays?|remains?) (?:secret|private|hidden|encrypted|confidential)|(?:cannot|can't|never) (?:see|read|learn) (?:your|the) prompts?/i

function saidOfPrompts(): { readonly promises: number; readonly warnings: number } {
  const pages = repositoryFiles().filter((path) => path.endsWith('.md') && path !== 'docs/decisions.md')
  const texts = pages.map((path) => read(path).replaceAll(/\s+/g, ' '))
  return {
    promises: texts.filter((text) => PROMISE.test(text)).length,
    warnings: texts.filter((text) => /stage\*{0,2} can read (?:your|the) prompt/i.test(text)).length,
  }
}

export const prompts: Attack = {
  id: 'E2',
  name: 'a prompt out of the rows that a stage is sent',
  async control(size: Size) {
    return [least('least share of a prompt that comes out, over the cuts', await leastRecovered(size), 0.99)]
  },
  defended() {
    const { members, strangers } = holders()
    const { promises, warnings } = saidOfPrompts()
    const notice = openMeshNotice().join(' ')
    const outcomes: Outcome[] = [
      least('members of a cluster that may hold a stage', members, 1),
      most('guests, strangers and removed members that may', strangers, 0),
      least('pages that say what a holder of a stage can read', warnings, 2),
      most('pages that promise a secret prompt', promises, 0),
      least('the first start of an open mesh says so', Number(/data that must stay here/.test(notice)), 1),
    ]
    return Promise.resolve(outcomes)
  },
}
