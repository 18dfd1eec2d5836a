/** Text by the plainest way: one stage in this process, a token a step, nothing kept. What every other way must give too. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importModel } from '../../src/models/index.ts'
import type { GenerateRequest } from '../../src/pipeline/index.ts'
import { createSampler } from '../../src/pipeline/host/sampler.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { testModel } from '../pipeline/support/stages.ts'

export interface Plain {
  /** Tokens, and what is reported of each. */
  answer(ids: readonly number[], request: GenerateRequest): Promise<{ ids: number[]; logprobs: unknown[] }>
  stop(): Promise<void>
}

export async function plainModel(source: string): Promise<Plain> {
  const directory = await mkdtemp(join(tmpdir(), 'weft-plain-'))
  const store = await createBlobStore({ directory: join(directory, 'store') })
  const needs = { store, directory, downloads: join(directory, 'downloads'), clock: systemClock() }
  const manifest = await importModel(needs, { source, name: 'plain' })
  const model = testModel(store, join(directory, 'cache'), manifest)
  const stage = await model.stage(1, manifest.shape.layers + 1)
  const head = await model.head()
  return {
    async answer(prompt, { sampling, maxTokens, logprobs }) {
      const history = sampling.repetitionPenalty === 1 ? [] : prompt
      const sampler = createSampler({ sampling, logprobs: logprobs ?? -1, history })
      const cache = stage.newCache(0)
      const ids: number[] = []
      const reported: unknown[] = []
      let given = [...prompt]
      while (ids.length < maxTokens!) {
        const [rows] = await stage.run([{ cache, rows: model.embed(given), count: given.length }])
        const [logits] = await head.run([rows!.subarray(rows!.length - model.rowBytes)])
        const { id, top } = sampler.sample(logits!, prompt.length + ids.length)
        ids.push(id)
        reported.push(top)
        given = [id]
      }
      return { ids, logprobs: reported }
    },
    async stop() {
      await stage.release()
      await head.release()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
