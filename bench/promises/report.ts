/** What a promise is, and what one run of it has shown. */

export interface Promised {
  /** As in the list of promises: R5. */
  readonly id: string
  readonly title: string
  /**
   * @param isShort the sampled version, which takes a minute or so
   * @param minutes of what lasts for a time that can be chosen; undefined: as promised
   */
  run(report: Report, isShort: boolean, minutes?: number): Promise<void>
}

export class Report {
  readonly injected: string[] = []
  readonly measured: string[] = []
  /** What was promised and is not so. */
  readonly broken: string[] = []
  /** Figures that are not as promised: they hang on what else the machine does, and tests leave them to the program. */
  readonly missed: string[] = []

  inject(what: string): void {
    this.injected.push(what)
  }

  measure(what: string): void {
    this.measured.push(what)
  }

  /** @param what says what was promised and what was found instead */
  hold(what: string, holds: boolean): void {
    if (!holds) this.broken.push(what)
  }

  /** A figure that may be so large at most. */
  atMost(what: string, value: number, limit: number, unit: string): void {
    this.measure(`${what}: ${shown(value)} ${unit} (${shown(limit)} at most)`)
    if (!(value <= limit)) this.missed.push(`${what}: ${shown(value)} ${unit}, promised are ${shown(limit)} at most`)
    this.hold(`${what}: it never came to it`, value < Infinity)
  }

  atLeast(what: string, value: number, limit: number, unit: string): void {
    this.measure(`${what}: ${shown(value)} ${unit} (${shown(limit)} at least)`)
    if (!(value >= limit)) this.missed.push(`${what}: ${shown(value)} ${unit}, promised are ${shown(limit)} at least`)
  }
}

function shown(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2)
}
