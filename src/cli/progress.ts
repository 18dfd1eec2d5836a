/** Progress on stderr: a bar on a terminal, else one line every ten percent. Nothing shows in the first moment. */
import type { Progress, ProgressSink } from '../peer/index.ts'
import { formatBytes } from './format.ts'
import type { CliIo } from './io.ts'
import type { Output } from './output.ts'
import { printable } from './text.ts'

const BAR_CELLS = 24
/** A terminal is redrawn at most this often. */
const REDRAW_MS = 80

export interface ProgressDisplay {
  readonly sink: ProgressSink
  /** Removes the bar. */
  end(): void
}

export function createProgress(io: CliIo, out: Output): ProgressDisplay {
  if (out.quiet) return { sink: () => {}, end: () => {} }
  return io.stderr.isTTY === true ? barDisplay(io) : lineDisplay(out)
}

function barDisplay(io: CliIo): ProgressDisplay {
  let drawn = false
  let last = Number.NEGATIVE_INFINITY
  return {
    sink: (progress) => {
      const now = io.clock.now()
      if (now - last < REDRAW_MS && progress.done !== progress.total) return
      last = now
      drawn = true
      io.stderr.write(`\r\u001B[2K${barLine(progress).slice(0, columnsOf(io) - 1)}`)
    },
    end: () => {
      if (drawn) io.stderr.write('\r\u001B[2K')
      drawn = false
    },
  }
}

function barLine(progress: Progress): string {
  const task = printable(progress.task)
  if (progress.total === null || progress.total <= 0) return `${task}  ${counts(progress)}`
  const share = Math.min(1, progress.done / progress.total)
  const full = Math.round(share * BAR_CELLS)
  const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)}`
  return `${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${task}  ${counts(progress)}`
}

function lineDisplay(out: Output): ProgressDisplay {
  let task = ''
  let tenth = -1
  return {
    sink: (progress) => {
      if (progress.task !== task) {
        task = progress.task
        tenth = -1
      }
      const now = progress.total === null || progress.total <= 0 ? 0 : Math.floor((progress.done / progress.total) * 10)
      if (now <= tenth) return
      tenth = now
      const percent = progress.total === null ? '' : `: ${now * 10} %`
      out.note(`${printable(task)}${percent} (${counts(progress)})`)
    },
    end: () => {},
  }
}

function counts({ done, total, unit }: Progress): string {
  if (unit === 'bytes') return total === null ? formatBytes(done) : `${formatBytes(done)} of ${formatBytes(total)}`
  return total === null ? `${done} ${unit}` : `${done} of ${total} ${unit}`
}

/** Some pseudo-terminals say that they have no columns. */
function columnsOf(io: CliIo): number {
  const { columns = 0 } = io.stderr
  return columns > 0 ? columns : 80
}
