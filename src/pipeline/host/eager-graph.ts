/** One graph loaded twice, with threads that sleep between nodes and with threads that spin: small runs take the faster. */
import type { Engine, Graph, LoadOptions } from '../../onnx/index.ts'
import type { Clock } from '../../util/index.ts'
import { SpinChoice } from './spin-choice.ts'

/** Rows beyond which a run is so long that a wake-up does not count. */
const FEW_ROWS = 4

export interface EagerGraph extends Graph {
  /** Threads of the last run spun. */
  readonly spun: boolean
}

/** With one thread there is nothing to wake, and without a clock nothing is measured: loaded once. Rows are those of the input `x`. */
export async function loadEager(
  engine: Engine,
  clock: Clock | undefined,
  path: string,
  options: LoadOptions,
): Promise<EagerGraph> {
  const still = await engine.load(path, options)
  if (options.threads === 1 || clock === undefined) return { ...still, spun: false }
  const spinning = await engine.load(path, { ...options, spin: true })
  const choice = new SpinChoice()
  let spun = false
  return {
    get spun() {
      return spun
    },
    async run(feeds, fetches) {
      spun = false
      if (feeds['x']!.dims[0]! > FEW_ROWS) return still.run(feeds, fetches)
      spun = choice.way === 'spinning'
      const started = clock.now()
      const outputs = await (spun ? spinning : still).run(feeds, fetches)
      choice.ran(clock.now() - started)
      return outputs
    },
    runAny: (feeds, fetches) => still.runAny(feeds, fetches),
    async release() {
      await still.release()
      await spinning.release()
    },
  }
}
