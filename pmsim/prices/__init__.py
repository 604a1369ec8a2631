"""Floor 6: the price list, which says what each kernel operation costs by itself.

Each is run alone, and what it did is read off.
"""

from pmsim.prices.catalogue import CATALOGUE, Priced, Sizes
from pmsim.prices.listing import PriceList, price_list
from pmsim.prices.meter import Price

__all__ = ["CATALOGUE", "Price", "PriceList", "Priced", "Sizes", "price_list"]
