/** Reference/federated.md 4.1: floor(2n / 3) + 1; of three, all. */
export function thresholdOf(members: number): number {
  return Math.min(members, Math.floor((2 * members) / 3) + 1)
}
