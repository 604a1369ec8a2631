"""The price list: what each kernel operation costs by itself, found by running it alone."""

from pmsim.simulation.prices.catalogue import CATALOGUE, Priced, Sizes
from pmsim.simulation.prices.listing import PriceList, price_list
from pmsim.simulation.prices.meter import Price

__all__ = ["CATALOGUE", "Price", "PriceList", "Priced", "Sizes", "price_list"]
