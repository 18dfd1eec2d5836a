/** What `npm start` prints: steps as they are done, and on a terminal the one that is under way. */
import type { Progress } from '../../peer/index.ts'
import type { CliIo } from '../io.ts'
import { createProgress } from '../progress.ts'
import { createOutput } from '../output.ts'
import type { Output } from '../output.ts'

export interface DemoScreen {
  readonly out: Output
  title(text: string): void
  done(text: string): void
  note(text: string): void
  progress(progress: Progress): void
}

export function createScreen(io: CliIo): DemoScreen {
  const out = createOutput(io, { json: false, jsonl: false, quiet: false, verbose: false, noColor: false })
  const bar = createProgress(io, out)
  return {
    out,
    title: (text) => out.line(out.paint('bold', text)),
    done: (text) => {
      bar.end()
      out.line(`${out.paint('green', '✓')} ${text}`)
    },
    note: (text) => {
      bar.end()
      out.line(`  ${text}`)
    },
    progress: (progress) => bar.sink(progress),
  }
}
