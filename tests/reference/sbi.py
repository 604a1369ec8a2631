"""A cross-call through RISC-V's firmware (section 9 of the page).

It is the cross-call with other costs, a trap before it, and a write per target; what makes it
different for its targets is in `Cpu`: their windows do not hold the firmware's interrupts off.
"""

from __future__ import annotations

from tests.reference.crosscall import Call


class FirmwareCall(Call):
    """A call on at least one target, from the trap to the last visit."""

    def start(self) -> None:
        """Fix every time that is fixed at the start, and set the processes off."""
        sbi = self.machine.sbi
        in_firmware = self.machine.now + sbi.trap
        all_queued = in_firmware + len(self.targets) * sbi.queue
        for k, c in enumerate(self.targets):
            self.queued_at[c] = in_firmware + (k + 1) * sbi.queue
            sent_at = all_queued + (k + 1) * sbi.send
            delivery = self.machine.program.topology.cost(sbi.delivery, self.initiator, c)
            self.interrupt(c, sent_at + delivery)
        self.sends_until(all_queued + len(self.targets) * sbi.send)

    def line(self, c: int) -> int:
        """Return what reading a target's acknowledgement takes."""
        return self.machine.program.topology.cost(self.machine.sbi.line, self.initiator, c)
