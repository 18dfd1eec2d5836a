/**
 * Rounds as adapters of this home, or, of a table's model, as models of its own: asked for like any other, fetched by other
 * peers' stages by their content.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { baseOf, isAnalysis, isLanguage } from '../../federated/index.ts'
import type { GraphStages } from '../../pipeline/index.ts'
import { addAdapter, removeAdapter } from '../adapters.ts'
import type { Library } from '../library.ts'
import { RolloutStateError } from './errors.ts'
import type { Outlet } from './rollouts.ts'

export interface OutletNeeds {
  readonly home: string
  /** Once the peer has them. */
  readonly library?: Pick<Library, 'byDigest' | 'import' | 'list' | 'remove'> | undefined
  readonly graphStages?: Pick<GraphStages, 'release'> | undefined
}

/** In place of a model's name, where each round is a model of its own. */
export const WHOLE_MODELS = ''

/** @param needs read when they are needed */
export function outletOf(needs: () => OutletNeeds): Outlet {
  return {
    modelOf(plan) {
      if (isAnalysis(plan)) return Promise.reject(new RolloutStateError(plan.name, 'an analysis makes no model'))
      if (!isLanguage(plan)) return Promise.resolve(WHOLE_MODELS)
      const { name, digest } = baseOf(plan)
      return Promise.resolve(needs().library?.byDigest(digest)?.model ?? name)
    },
    async put(model, name, { trainer, weights }) {
      const { home, library } = needs()
      const folder = await mkdtemp(join(tmpdir(), 'weft-rollout-'))
      try {
        await trainer.write(weights, folder)
        if (model !== WHOLE_MODELS) await addAdapter(home, model, folder, name)
        else await library!.import({ source: join(folder, 'model.onnx'), name, alone: true }, () => undefined)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
    async remove(model, name) {
      const { home, library, graphStages } = needs()
      if (model !== WHOLE_MODELS) {
        await removeAdapter(home, model, name).catch(() => undefined)
        return
      }
      const manifest = library?.list().find((known) => known.model === name)
      if (manifest === undefined) return
      await graphStages?.release(manifest.digest).catch(() => undefined)
      await library!.remove(manifest).catch(() => undefined)
    },
  }
}
