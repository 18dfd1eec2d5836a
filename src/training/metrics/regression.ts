/** How far numbers are off. */
import type { Meter, Said } from './types.ts'

export class RootMeanSquare implements Meter {
  #sum = 0
  #rows = 0

  add({ scores, targets }: Said): void {
    for (const [row, score] of scores.entries()) this.#sum += (score - targets[row]!) ** 2
    this.#rows += scores.length
  }

  value(): number {
    return Math.sqrt(this.#sum / this.#rows)
  }
}
